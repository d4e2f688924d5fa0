/// The registers that gdb sees, their numbers and sizes, and where each is in the state of a vCPU. Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::gdb {

/// What a connection's description of the processor is for. It stays the same while the guest changes its mode.
enum class Width : std::uint8_t {
    real16,  ///< the registers of 32 bits, and code of 16
    protected32,
    long64,
};

/// As the code segment is.
[[nodiscard]] Width width_of(const Registers& registers) noexcept;

/// Where the processor fetches the next instruction, and where its stack is: RIP and RSP but for the bases of their
/// segments, which count outside of 64-bit code. The program counter and the stack pointer that gdb sees are these.
[[nodiscard]] std::uint64_t linear_pc(const Registers& registers) noexcept;
[[nodiscard]] std::uint64_t linear_sp(const Registers& registers) noexcept;

/// One register of the description.
struct RegisterEntry {
    enum class Part : std::uint8_t { core, sse, segments, system };
    std::string name;
    unsigned bits = 64;
    std::string_view type;  ///< of gdb
    Part part = Part::core;
    /// Null: there are no values, as of x87 and SSE.
    std::uint64_t (*get)(const Registers&) = nullptr;
    /// Null: it can't be written.
    void (*set)(Registers&, std::uint64_t) = nullptr;
};

class RegisterFile {
public:
    explicit RegisterFile(Width width);

    [[nodiscard]] Width width() const noexcept { return width_; }

    /// In the order of their numbers. The first `general_count()` are what a `g` packet has.
    [[nodiscard]] const std::vector<RegisterEntry>& entries() const noexcept { return entries_; }
    [[nodiscard]] std::size_t general_count() const noexcept { return general_count_; }

    /// The number of the program counter.
    [[nodiscard]] unsigned pc() const noexcept { return pc_; }

    /// The values of the general registers, as a `g` packet has them: in hexadecimal.
    [[nodiscard]] std::string read_general(const Registers& registers) const;
    /// False: the size is wrong; nothing is changed.
    [[nodiscard]] bool write_general(Registers& registers, std::string_view bytes) const;

    /// In hexadecimal: x instead of digits where there is no value. Nothing: no such register.
    [[nodiscard]] std::optional<std::string> read(const Registers& registers, unsigned number) const;
    /// False: no such register, the wrong size, or it can't be written.
    [[nodiscard]] bool write(Registers& registers, unsigned number, std::string_view bytes) const;

    /// The description for gdb, in XML: target.xml.
    [[nodiscard]] std::string description() const;

private:
    Width width_;
    std::vector<RegisterEntry> entries_;
    std::size_t general_count_ = 0;
    unsigned pc_ = 0;
};

}  // namespace asyncvm::gdb
