/// What the program itself says to a person.
#pragma once

#include <asyncvm/log.hpp>

#include <string_view>

namespace asyncvm::cli {

/// `asyncvm: LINE` on the standard error, in one write, so that lines from several threads don't mix. Any thread.
void print(std::string_view line) noexcept;

/// Text as it is on the standard error.
void print_plain(std::string_view text) noexcept;

/// print(), as the library takes it.
[[nodiscard]] Log make_log();

/// On the standard output. Throws Error(host) if it can't be written, on a full disk for example.
void print_out(std::string_view text);

/// Opens /dev/null in place of a standard stream that was closed when the program started: a socket that got its number
/// would receive the output that is meant for the stream.
void fill_standard_streams() noexcept;

}  // namespace asyncvm::cli
