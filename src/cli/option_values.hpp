/// Values of options: sizes and addresses (--memory, --load, --entry), and registers (--reg).
#pragma once

#include <asyncvm/loader.hpp>
#include <asyncvm/registers.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace asyncvm::cli {

/// The limits of --memory, in bytes.
inline constexpr std::uint64_t smallest_memory = 64 << 10;
inline constexpr std::uint64_t largest_memory = std::uint64_t{512} << 30;

/// `128M`, `64K`, `2G`, `4096`, `0x10000`: a number as parse_number() takes it and perhaps a unit (powers of 1024; capital
/// or small letter). In bytes. `option` names the option in the message. Throws Error(usage).
[[nodiscard]] std::uint64_t parse_size(std::string_view text, std::string_view option);

/// `0x10000`, `65536`, `64K`, `1M`. Throws Error(usage).
[[nodiscard]] std::uint64_t parse_address(std::string_view text, std::string_view option);

/// Throws Error(usage) unless `bytes` is a multiple of 4096 between the limits.
void check_memory_size(std::uint64_t bytes, std::string_view option = "--memory");

// --reg NAME=VALUE and --reg CPU:NAME=VALUE: registers that a guest starts with.

struct RegisterSetting {
    std::optional<unsigned> cpu{};  ///< not given: every vCPU that starts at the guest's entry
    std::string name;               ///< lower-case
    std::uint64_t value = 0;        ///< fits the register; a negative number has been turned into its two's complement
    std::string text;               ///< as it was typed, for messages
};

/// Names are rax to r15 with their narrower aliases (eax, ax, al, r8d, r8w, r8b, ...; they limit the value, and the rest of
/// the register becomes 0), rip (eip, ip), rflags (eflags, flags), and cs, ds, es, fs, gs, ss. Values are decimal, 0x, 0b
/// or 0o; general registers also take negative numbers. Throws Error(usage).
[[nodiscard]] RegisterSetting parse_register(std::string_view text);

/// Sets one register. Segment registers, with the base that real mode gives them, are for Mode::real16 only; rip and rflags
/// must be a state that the processor can be in. Throws Error(usage).
void apply(Registers& registers, const RegisterSetting& setting, Mode mode);

/// Those of `settings` that are for vCPU `cpu`, in their order: the last one counts. Throws Error(usage).
void apply_all(Registers& registers, unsigned cpu, std::span<const RegisterSetting> settings, Mode mode);

/// Throws Error(usage) where a setting is for a vCPU that the machine does not have.
void check_cpus(std::span<const RegisterSetting> settings, unsigned cpus);

}  // namespace asyncvm::cli
