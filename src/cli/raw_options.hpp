/// The command line taken apart into words, before anything is understood.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::cli {

/// What was given for each option, as it was typed. An option that may be given once only has the last that was given.
struct RawOptions {
    bool help = false;
    bool version = false;
    bool verbose = false;
    bool stats = false;
    bool rng = false;
    bool balloon = false;
    bool no_defaults = false;
    bool probe = false;
    bool probe_lines = false;
    bool gdb_as_usual = false;  ///< -s
    bool freeze = false;        ///< -S
    std::vector<std::string> serial;
    std::vector<std::string> console;
    std::vector<std::string> virtio_port;
    std::vector<std::string> device;
    std::vector<std::string> reg;
    std::vector<std::string> debugcon;
    std::vector<std::string> load;
    std::vector<std::string> entry;
    std::vector<std::string> mode;
    std::vector<std::string> memory;
    std::vector<std::string> huge_pages;
    std::vector<std::string> memory_share;
    std::vector<std::string> irqchip;
    std::vector<std::string> machine;
    std::vector<std::string> transport;
    std::vector<std::string> format;
    std::vector<std::string> append;
    std::vector<std::string> module;
    std::vector<std::string> initrd;
    std::vector<std::string> disk;
    std::vector<std::string> net;
    std::vector<std::string> vsock;
    std::vector<std::string> file_system;
    std::vector<std::string> firmware;
    std::vector<std::string> reboot;
    std::vector<std::string> on_halt;
    std::vector<std::string> control;
    std::vector<std::string> metrics;
    std::vector<std::string> trace;
    std::vector<std::string> gdb;
    std::vector<std::string> on_crash;
    std::vector<std::string> core;
    std::vector<std::string> cpus;
    std::vector<std::string> cpu;
    std::vector<std::string> accel;
    std::vector<std::string> posted_writes;
    bool inspect = false;  ///< the first word is "inspect"
    std::vector<std::string> guest;
};

/// Throws Error(usage): an option that there isn't, or one without its value.
[[nodiscard]] RawOptions split_command_line(int argc, const char* const* argv);

/// Every option's long name, with its dashes.
[[nodiscard]] std::vector<std::string_view> option_names();

}  // namespace asyncvm::cli
