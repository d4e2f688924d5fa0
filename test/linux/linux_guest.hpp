/// A Linux as the guest, and a person at its shell.
#pragma once

#include "harness.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linux_test {

using namespace program_test;

inline std::string file_from(const char* variable) {
    const char* const path = std::getenv(variable);
    if (path == nullptr) throw std::runtime_error(std::string(variable) + " is not set: run this through meson test");
    return path;
}

struct Kernel {
    std::string image;
    std::string initrd;  ///< with its modules
};

/// Debian's kernel for clouds.
inline Kernel usual_kernel() { return {file_from("LINUX_KERNEL"), file_from("LINUX_INITRD")}; }
/// The newest one that Debian has for the same release.
inline Kernel newer_kernel() { return {file_from("LINUX_NEWER_KERNEL"), file_from("LINUX_NEWER_INITRD")}; }

inline std::vector<std::string> booting(const std::string& append, std::vector<std::string> options,
                                        const Kernel& kernel = usual_kernel()) {
    options.insert(options.end(), {"--memory", "256M", "--initrd", kernel.initrd, "--append",
                                   "console=ttyS0 quiet " + append, kernel.image});
    return options;
}

/// A client that reads on until it has seen something.
class Shell {
public:
    explicit Shell(SerialVm& vm) : Shell(vm.connect()) {}
    explicit Shell(Peer peer) : peer_(std::move(peer)) {}

    void type(std::string_view line) { peer_.write(line); }

    /// Returns what came until then, and what came with it.
    const std::string& wait_for(std::string_view text) {
        while (seen_.find(text) == std::string::npos) {
            const auto more = next(text);
            if (more.empty()) throw std::runtime_error("the stream ended without '" + std::string(text) + "': " + seen_);
            seen_ += more;
        }
        return seen_;
    }

    void forget() { seen_.clear(); }

private:
    std::string next(std::string_view text) {
        try {
            return peer_.read_some();
        } catch (const std::runtime_error& error) {
            throw std::runtime_error(error.what() + (", without '" + std::string(text) + "': " + seen_));
        }
    }

    Peer peer_;
    std::string seen_;
};

}  // namespace linux_test
