#include "cli/plugin_program.hpp"

#include "plugin/load.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace asyncvm::cli {

namespace {

constexpr std::string_view program = "asyncvm-with-plugins";

std::string_view directory_of(std::string_view executable) noexcept { return executable.substr(0, executable.rfind('/')); }

/// The value of a --device: NAME[,…], where NAME comes after record=FILE if that is there.
bool names_plugin(std::string_view device) noexcept {
    constexpr std::string_view record = "record=";
    if (device.starts_with(record)) {
        // Two commas are one of the file's name.
        std::size_t at = record.size();
        for (; at < device.size(); ++at) {
            if (device[at] != ',') continue;
            if (device.substr(at + 1, 1) != ",") break;
            ++at;
        }
        device.remove_prefix(at < device.size() ? at + 1 : device.size());
    }
    const auto name = device.substr(0, device.find(','));
    return name.find('=') == name.npos && plugin::names_file(name);
}

std::string executable() {
    std::array<char, 4096> path{};
    const auto size = ::readlink("/proc/self/exe", path.data(), path.size());
    if (size > 0) return {path.data(), static_cast<std::size_t>(size)};
    throw Error(ErrorKind::host, fmt::format("cannot look up where asyncvm is (/proc/self/exe): {}", reason(errno)));
}

}  // namespace

bool asks_for_plugin(std::span<const char* const> words) noexcept {
    constexpr std::string_view option = "--device";
    for (std::size_t at = 0; at < words.size(); ++at) {
        const std::string_view word = words[at];
        if (word == option && at + 1 < words.size() && names_plugin(words[at + 1])) return true;
        if (word.starts_with(option) && word.substr(option.size()).starts_with('=') &&
            names_plugin(word.substr(option.size() + 1))) {
            return true;
        }
    }
    return false;
}

std::string plugin_program_beside(std::string_view executable) {
    return fmt::format("{}/{}", directory_of(executable), program);
}

std::string plugin_program_installed(std::string_view executable) {
    constexpr std::string_view libexec = ASYNCVM_LIBEXEC;  // as Meson has it: relative to bin, or absolute
    if (libexec.starts_with('/')) return fmt::format("{}/{}", libexec, program);
    return fmt::format("{}/{}/{}", directory_of(executable), libexec, program);
}

void become_plugin_program(char** words) {
    if (plugin::can_load()) return;
    const std::string self = executable();
    const std::string beside = plugin_program_beside(self);
    ::execv(beside.c_str(), words);
    const int error = errno;
    const std::string installed = plugin_program_installed(self);
    if (error == ENOENT) ::execv(installed.c_str(), words);
    throw Error(ErrorKind::host, fmt::format("a plugin needs the program {}, which cannot be started: {} (it comes with "
                                             "asyncvm and is looked for at {} and {})",
                                             program, reason(errno), beside, installed));
}

}  // namespace asyncvm::cli
