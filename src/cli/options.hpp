/// What the command line asks for.
#pragma once

#include "cli/option_values.hpp"
#include "control/place.hpp"
#include "devices/device_request.hpp"

#include <asyncvm/accelerator.hpp>
#include <asyncvm/block.hpp>
#include <asyncvm/board.hpp>
#include <asyncvm/boot.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/net.hpp>
#include <asyncvm/vhost_user.hpp>
#include <asyncvm/vsock.hpp>

#include "gdb/debuggee.hpp"
#include "gdb/spec.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace asyncvm::cli {

/// What --probe and --probe-lines ask for.
enum class ProbeReport { none, table, lines };

enum class MachineKind : std::uint8_t { flat, pc };

/// What is done when all vCPUs have halted and nothing can wake one.
enum class HaltPolicy : std::uint8_t {
    end,   ///< the program ends well
    fail,  ///< it ends with an exit code of its own, and shows where each vCPU is
    wait,  ///< it goes on, until it is stopped
};

struct Options {
    std::string text;                       ///< not empty: print this on the standard output, do nothing else, and end well
    ProbeReport probe = ProbeReport::none;  ///< not none: probe this host, and do nothing else

    std::string guest;                  ///< the file's path; "-": the standard input
    std::vector<std::string> serials;   ///< COM1 to COM4, as parse_chardev_spec() takes them
    std::vector<std::string> consoles;  ///< virtio consoles, hvc0 and so on, each in the same way
    struct VirtioPort {
        std::string name;
        std::string stream;  ///< in the same way
    };
    std::vector<VirtioPort> virtio_ports;
    std::vector<DeviceRequest> devices;   ///< all others, the defaults included, in the order of attachment
    std::optional<std::uint64_t> load{};  ///< these three are of flat guests; see FlatGuest for the defaults
    std::optional<std::uint64_t> entry{};
    std::optional<Mode> mode{};
    std::vector<RegisterSetting> registers;
    std::uint64_t memory_size = 128 << 20;  ///< bytes, a multiple of the page size
    std::optional<HugePages> huge_pages{};  ///< not given: on the pc machine on, else off
    bool memory_share = false;              ///< asked for, or what a device of another process needs
    bool irqchip = false;                   ///< KvmOptions::irqchip and pit, on the flat machine
    std::optional<MachineKind> machine{};   ///< not given: flat for a flat guest and for --format flat, else pc
    std::optional<BootFormat> format{};     ///< not given: as the file says
    std::string append;
    std::vector<BootRequest::Module> modules;
    std::string initrd;
    std::vector<NetSpec> networks;  ///< a card each
    std::vector<VhostUserSpec> file_systems;
    std::optional<VsockSpec> vsock{};
    std::vector<DiskSpec> disks;          ///< see bios_disk() and virtio_disks()
    bool restart = false;                 ///< a reset restarts the guest, instead of ending the program
    std::optional<HaltPolicy> on_halt{};  ///< not given: on the flat machine end, on the pc machine fail
    std::optional<gdb::Spec> gdb{};       ///< where a debugger may come
    gdb::CrashPolicy on_crash = gdb::CrashPolicy::if_attached;
    std::string core{};    ///< the file that a guest which has crashed is written to; empty: none
    bool inspect = false;  ///< tell what the guest's file is, and do nothing else
    unsigned cpus = 1;
    VirtioTransport transport = VirtioTransport::mmio;
    bool rng = false;          ///< the machine has an entropy device
    bool balloon = false;      ///< and a memory balloon
    std::string cpu_features;  ///< KvmOptions::cpu_features
    AcceleratorChoice accelerator = AcceleratorChoice::automatic;
    bool posted_writes = true;
    std::optional<control::Place> control{};  ///< not given: there is no control socket
    bool held = false;                        ///< the guest begins when a client of the control socket says cont
    std::string metrics{};                    ///< as metrics::check_place() takes it; empty: nobody scrapes
    std::string trace{};                      ///< the file that a timeline is written to; empty: none
    bool verbose = false;
    bool statistics = false;
};

/// The disk that a boot sector reads in place of its own file: the first of --disk, if the guest is one. Null: none.
[[nodiscard]] const DiskSpec* bios_disk(const Options& options) noexcept;

/// The disks that are virtio devices: all others.
[[nodiscard]] std::span<const DiskSpec> virtio_disks(const Options& options) noexcept;

inline constexpr unsigned most_cpus = 255;  ///< an APIC ID has 8 bits, and 0xff is everybody

/// No side effects. Every value is understood and checked as far as that is possible without a machine; see dry_run() for
/// what remains. Throws Error(usage).
[[nodiscard]] Options parse_options(int argc, const char* const* argv);

/// The text of --help.
[[nodiscard]] std::string help_text();

}  // namespace asyncvm::cli
