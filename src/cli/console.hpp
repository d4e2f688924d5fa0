/// What the program itself says to a person.
#pragma once

#include <asyncvm/log.hpp>

#include <chrono>
#include <initializer_list>
#include <string_view>

namespace asyncvm::cli {

/// `asyncvm: LINE` on the standard error, in one write, so that lines from several threads don't mix. Never waits: what a
/// full pipe or a stopped terminal does not take is kept, at most 64 KiB, and written when there is room. Any thread.
void print(std::string_view line) noexcept;

/// Text as it is on the standard error, otherwise like print().
void print_plain(std::string_view text) noexcept;

inline constexpr std::chrono::milliseconds until_taken = std::chrono::years(1);

/// Waits until the standard error has taken everything, no longer than `limit`.
void flush_console(std::chrono::milliseconds limit) noexcept;

/// The parts of a short line on the standard error, if it takes them now. Async-signal-safe.
void print_at_once(std::initializer_list<std::string_view> parts) noexcept;

/// print(), as the library takes it.
[[nodiscard]] Log make_log();

/// On the standard output. Throws Error(host) if it can't be written, on a full disk for example.
void print_out(std::string_view text);

/// Opens /dev/null in place of a standard stream that was closed when the program started: a socket that got its number
/// would receive the output that is meant for the stream.
void fill_standard_streams() noexcept;

}  // namespace asyncvm::cli
