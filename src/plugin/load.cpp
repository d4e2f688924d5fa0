#include "plugin/load.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/plugin.hpp>

#include "dynamic/shared_library.hpp"
#include "text/errno_text.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>

namespace asyncvm::plugin {

namespace {

[[noreturn]] void refuse(const std::string& path, std::string_view why) {
    throw Error(ErrorKind::usage, fmt::format("device {}: {}", path, why));
}

void check_file(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) refuse(path, fmt::format("cannot open it: {}", reason(errno)));
    if (!S_ISREG(status.st_mode)) refuse(path, "it is no file");
    std::ifstream file(path, std::ios::binary);
    if (!file) refuse(path, fmt::format("cannot open it: {}", reason(errno)));
    std::array<char, 18> start{};
    file.read(start.data(), start.size());
    constexpr std::string_view elf = "\177ELF";
    constexpr char shared_object = 3;  // e_type, ET_DYN
    if (std::string_view(start.data(), elf.size()) != elf || start[16] != shared_object) {
        refuse(path, "it is no shared object (build it with g++ -shared -fPIC: docs/plugins.md)");
    }
}

/// What the dynamic linker says of a missing symbol is its mangled name.
std::string readable(std::string_view why) {
    constexpr std::string_view words = "undefined symbol: ";
    const auto at = why.find(words);
    if (at == why.npos) return std::string(why);
    std::string symbol(why.substr(at + words.size()));
    symbol = symbol.substr(0, symbol.find_first_of(", \n"));
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status),
                                                      std::free);
    return fmt::format(
        "it needs {}, which nobody here has (link it with its libraries, or build it again with the headers "
        "of this asyncvm)",
        name ? name.get() : symbol.c_str());
}

const PluginInfo* (*find_entry(const SharedLibrary& library, const std::string& path))() {
    const PluginInfo* (*entry)() = nullptr;
    try {
        library.find(plugin_entry_point, entry);
    } catch (const Error&) {
        refuse(path, fmt::format("it has no {} (does it say ASYNCVM_DEVICE_PLUGIN(kind)?)", plugin_entry_point));
    }
    return entry;
}

void check_kind(const DeviceKind& kind, const std::string& path) {
    if (kind.make == nullptr) refuse(path, "its kind has no function make");
    if (kind.name.empty()) refuse(path, "its kind has no name");
    if (kind.size == 0) refuse(path, "its kind has the size 0");
}

}  // namespace

bool can_load() noexcept { return ::dlsym(RTLD_DEFAULT, "_ZTVN7asyncvm6DeviceE") != nullptr; }

std::optional<std::string> mismatch(const PluginInfo& info) {
    if (info.abi_version != plugin_abi_version) {
        return fmt::format(
            "it was built for version {} of the device interface, and this asyncvm has version {} (build it "
            "again with the headers of this asyncvm)",
            info.abi_version, plugin_abi_version);
    }
    const std::span traits(info.traits, info.trait_count);
    for (const auto& ours : plugin_traits) {
        const auto same = [&ours](const PluginTrait& trait) { return std::strcmp(trait.name, ours.name) == 0; };
        const auto theirs = std::ranges::find_if(traits, same);
        if (theirs == traits.end() || theirs->value != ours.value) {
            return fmt::format(
                "it was compiled ({}) with {} = {}, and this asyncvm with {} (build it again as "
                "docs/plugins.md says)",
                info.compiler, ours.name, theirs == traits.end() ? "nothing" : fmt::format("{}", theirs->value), ours.value);
        }
    }
    if (info.shared != &plugin_shared) {
        return "its symbols are its own (build it without -fvisibility=hidden and without -Bsymbolic, and link no "
               "libasyncvm.a into it)";
    }
    return std::nullopt;
}

const DeviceKind& load(const std::string& path) {
    check_file(path);
    if (!can_load()) {
        refuse(path, "this program shows plugins no symbols (link it with -rdynamic, and the whole of libasyncvm.a)");
    }
    std::optional<SharedLibrary> library;
    try {
        library.emplace(path.c_str(), SharedLibrary::Binding::now);
    } catch (const Error& error) {
        refuse(path, readable(error.what()));
    }
    const auto entry = find_entry(*library, path);
    const PluginInfo* const info = entry();
    if (info == nullptr) refuse(path, fmt::format("its {} returns null", plugin_entry_point));
    if (const auto why = mismatch(*info)) refuse(path, *why);
    if (info->kind == nullptr) refuse(path, "it has no kind");
    check_kind(*info->kind, path);
    return *info->kind;
}

}  // namespace asyncvm::plugin
