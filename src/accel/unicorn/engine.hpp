/// One uc_engine: ownership, errors, registers.
#pragma once

#include <asyncvm/exit.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "accel/unicorn/library.hpp"

namespace asyncvm::unicorn {

/// An engine for an x86-64 processor. It is opened in Unicorn's 64-bit mode whatever the guest starts in: only so can the
/// guest reach every mode by itself, and only so can all registers be read. Unicorn's core keeps no state outside the engine
/// while it runs, so any thread may use it, one at a time.
class Engine {
public:
    /// After load_library(). Throws Error(host), also if Unicorn gave up: then what it has begun stays.
    Engine();
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    [[nodiscard]] uc_engine* get() const noexcept { return engine_; }

    [[nodiscard]] std::uint64_t read(uc_x86_reg name) const noexcept;
    void write(uc_x86_reg name, std::uint64_t value) noexcept;
    [[nodiscard]] std::uint64_t read_msr(std::uint32_t index) const noexcept;
    void write_msr(std::uint32_t index, std::uint64_t value) noexcept;
    /// Registers of up to 16 bytes.
    void read_bytes(uc_x86_reg name, std::span<std::byte, 16> to) const noexcept;
    void write_bytes(uc_x86_reg name, std::span<const std::byte, 16> from) noexcept;
    [[nodiscard]] uc_x86_mmr read_table(uc_x86_reg name) const noexcept;
    void write_table(uc_x86_reg name, const uc_x86_mmr& value) noexcept;

    /// After Unicorn has done something with the engine for the first time, on the same thread, before another engine is
    /// opened there: it gets the memory for translated code then, or when it is opened.
    void note_code_buffer() noexcept;

    /// Whether there is little room left for translated code: uc_ctl_flush_tlb() makes room, while
    /// the engine does not run.
    [[nodiscard]] bool nearly_full() const noexcept;

    /// The engine is never used again, and neither is it closed: Unicorn gave up or failed in it.
    static void abandon(std::unique_ptr<Engine> engine);

    /// Throws Error(host) with what was tried and Unicorn's word for what went wrong.
    static void check(uc_err error, const char* what);

private:
    void open();

    uc_engine* engine_ = nullptr;
    std::span<const std::byte> code_buffer_;
};

}  // namespace asyncvm::unicorn
