/// Small programs of our own that the emulated processor runs to get into a state that Unicorn's interface cannot set: the
/// hidden parts of segment registers, and the mode. Pure: what they do depends on their arguments only.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace asyncvm::unicorn {

/// Where they run: three pages that are the guest's memory only while such a program runs. KVM keeps its own three pages
/// there.
inline constexpr std::uint64_t stub_base = GuestMemory::accelerator_pages_base + GuestMemory::page_size;
inline constexpr std::uint64_t stub_size = 0x3000;

/// From the state of a new engine (64-bit mode without paging) into the mode and segments of `to`; ends in HLT. Selectors,
/// general registers, tables, and the exact CR3 and CR4 are left to the caller. `pages` are stub_size bytes. Returns the
/// linear address to start at.
std::uint64_t write_start_stub(std::span<std::byte> pages, const Registers& to);

/// A far jump from a real-mode CS with the base `cs_base`. Returns the IP to start at, relative to that base.
std::uint64_t write_far_jump_stub(std::span<std::byte> pages, std::uint64_t cs_base, std::uint16_t selector,
                                  std::uint16_t offset);

}  // namespace asyncvm::unicorn
