/// Plugins run in a program of their own.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace asyncvm::cli {

/// Whether a `--device` among the words of a command line names a file: a look that is sooner done than parsing.
[[nodiscard]] bool asks_for_plugin(std::span<const char* const> words) noexcept;

/// Where the program with plugins may be, for a program at `executable`: beside it, or where `meson install` puts it.
[[nodiscard]] std::string plugin_program_beside(std::string_view executable);
[[nodiscard]] std::string plugin_program_installed(std::string_view executable);

/// Becomes that program, which is this one, linked so that plugins can be loaded: it shows them the symbols of the library,
/// and shares the C++ library with them. This one has a C++ library of its own, because it starts sooner; an exception that
/// a plugin throws would not get from one to the other. Returns if this is that program already. Throws Error(host).
void become_plugin_program(char** words);

}  // namespace asyncvm::cli
