/// The registers that gdb sees, their numbers and sizes, and where each is in the state of a vCPU. Pure.
#pragma once

#include <asyncvm/fpu_registers.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "x86/linear.hpp"

namespace asyncvm::gdb {

/// What a connection's description of the processor is for. It stays the same while the guest changes its mode.
enum class Width : std::uint8_t {
    real16,  ///< the registers of 32 bits, and code of 16
    protected32,
    long64,
};

/// As the code segment is.
[[nodiscard]] Width width_of(const Registers& registers) noexcept;

/// A part of a vCPU's state that is read as a whole, when gdb asks for one of its registers.
enum class Source : std::uint8_t { core, fpu, msrs };

/// What has been read of a vCPU. Registers of a source that has not been read have no value.
struct RegisterValues {
    Registers core{};
    std::optional<FpuRegisters> fpu{};
    std::map<std::uint32_t, std::uint64_t> msrs{};  ///< by index
};

/// One register of the description.
struct RegisterEntry {
    enum class Part : std::uint8_t { core, sse, avx, segments, system, msrs };
    std::string name;
    unsigned bits = 64;
    std::string_view type;  ///< of gdb
    Part part = Part::core;
    Source source = Source::core;

    // Of Source::core; set is null where it can't be written.
    std::uint64_t (*get)(const Registers&) = nullptr;
    void (*set)(Registers&, std::uint64_t) = nullptr;

    // Of Source::fpu; the spans have `bits` / 8 bytes.
    void (*get_fpu)(const FpuRegisters&, unsigned index, std::span<std::byte> to) = nullptr;
    void (*set_fpu)(FpuRegisters&, unsigned index, std::span<const std::byte> from) = nullptr;

    std::uint32_t index = 0;  ///< among the FPU's registers of a kind; an MSR's own
};

class RegisterFile {
public:
    /// `avx`: FpuRegisters::avx of the processor.
    RegisterFile(Width width, bool avx);

    [[nodiscard]] Width width() const noexcept { return width_; }

    /// In the order of their numbers. The first `general_count()` are what a `g` packet has.
    [[nodiscard]] const std::vector<RegisterEntry>& entries() const noexcept { return entries_; }
    [[nodiscard]] std::size_t general_count() const noexcept { return general_count_; }

    /// The number of the program counter.
    [[nodiscard]] unsigned pc() const noexcept { return pc_; }

    /// Null: no such register.
    [[nodiscard]] const RegisterEntry* find(unsigned number) const noexcept;

    /// The values of the general registers, as a `g` packet has them: in hexadecimal.
    [[nodiscard]] std::string read_general(const Registers& registers) const;
    /// False: the size is wrong; nothing is changed.
    [[nodiscard]] bool write_general(Registers& registers, std::string_view bytes) const;

    /// In hexadecimal: x instead of digits where there is no value. Nothing: no such register.
    [[nodiscard]] std::optional<std::string> read(const RegisterValues& values, unsigned number) const;
    /// False: no such register, the wrong size, it has no value, or it can't be written.
    [[nodiscard]] bool write(RegisterValues& values, unsigned number, std::string_view bytes) const;

    /// The description for gdb, in XML: target.xml.
    [[nodiscard]] std::string description() const;

private:
    Width width_;
    std::vector<RegisterEntry> entries_;
    std::size_t general_count_ = 0;
    unsigned pc_ = 0;
};

}  // namespace asyncvm::gdb
