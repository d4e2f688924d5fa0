/// A guest that was started as what it is not.
#pragma once

#include "report/code_context.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace asyncvm {

/// Whether somebody serves INT 13h, which nobody does for a flat guest.
[[nodiscard]] bool has_bios(const GuestMemory& memory) noexcept;

/// About the memory where the guest was started in 16-bit mode, a sentence without a full stop: an ELF file, a boot sector,
/// code for 64 bits. Empty: nothing is known of it.
[[nodiscard]] std::string about_misfit(const CrashContext& guest, const CodeContext& context);

/// Whether bytes are rather 64-bit code than 16-bit code: several instructions with a REX.W prefix, which 16-bit code takes
/// for DEC. Pure.
[[nodiscard]] bool looks_like_64_bits(std::span<const std::byte> code) noexcept;

}  // namespace asyncvm
