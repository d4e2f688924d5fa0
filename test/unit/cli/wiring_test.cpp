#include "command_line.hpp"

#include <asyncvm/open_chardev.hpp>
#include "bus/io_bus.hpp"
#include "cli/wiring.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::cli;

namespace {

std::string dry_run_error(const std::vector<std::string>& arguments) {
    asio::io_context loop;
    return usage_error([&] { dry_run(parse(arguments), guess_setup(parse(arguments)), loop); });
}

/// A machine's buses, with nothing opened.
struct Fixture {
    asio::io_context loop{1};
    std::shared_ptr<DeviceSlots> slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports{Space::port, slots};
    IoBus mmio{Space::memory, slots};
    std::vector<std::string> opened;

    void attach(const std::vector<std::string>& arguments, const Setup& setup = {}) {
        const auto open = [this](const StreamRequest& request) {
            opened.push_back(request.label + (request.reads ? " reads " : " writes ") + std::string(request.spec));
            return open_chardev(ChardevSpec{}, ChardevEnvironment{.loop = loop});
        };
        attach_devices(parse(arguments), setup,
                       {.ports = ports, .mmio = mmio, .open_stream = open, .finish = [](const Outcome&) {}});
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(wiring)

BOOST_AUTO_TEST_CASE(a_flat_machine_has_its_default_devices) {
    Fixture fixture;
    fixture.attach({"g"});
    BOOST_TEST(fixture.ports.device_name(0x3f8) == "uart16550");
    BOOST_TEST(fixture.ports.device_name(0x2f8) == "");
    BOOST_TEST(fixture.ports.device_name(0x10) == "counter");
    for (const auto port : {0xe9, 0xf1, 0x402})
        BOOST_TEST(fixture.ports.device_name(static_cast<unsigned>(port)) == "debugcon");
    for (const auto port : {0xf4, 0x501}) BOOST_TEST(fixture.ports.device_name(static_cast<unsigned>(port)) == "exit");
    BOOST_TEST(fixture.opened.front() == "serial0 reads stdio");
}

BOOST_AUTO_TEST_CASE(a_pc_machine_has_both_its_own_devices_and_the_default_ones) {
    Fixture fixture;
    fixture.attach({"g"}, {.machine = MachineKind::pc});
    for (const auto& [port, device] : std::map<unsigned, std::string>{{0x10, "counter"},
                                                                      {0xb004, "power"},
                                                                      {0x64, "i8042"},
                                                                      {0x70, "rtc"},
                                                                      {0x604, "acpi-pm"},
                                                                      {0xcf9, "pci-config"}}) {
        BOOST_TEST(fixture.ports.device_name(port) == device);
    }
}

BOOST_AUTO_TEST_CASE(an_option_replaces_a_device_of_the_pc_machine) {
    Fixture fixture;
    fixture.attach({"--device", "acpi-pm,irq=11", "--device", "pci-config,mechanism=on", "g"}, {.machine = MachineKind::pc});
    BOOST_TEST(fixture.ports.device_name(0x604) == "acpi-pm");
    BOOST_TEST(fixture.ports.device_name(0xcf9) == "pci-config");
}

BOOST_AUTO_TEST_CASE(the_tables_of_a_pc_machine_name_the_devices_that_it_has) {
    const auto without = [](const std::vector<std::string>& arguments) { return pc_description(parse(arguments)).without; };
    BOOST_TEST(without({"g"}).empty());
    BOOST_TEST(without({"--device", "pci-config,mechanism=on", "g"}).empty());
    const auto fewer = without({"--no-defaults", "g"});
    BOOST_TEST((std::ranges::find(fewer, "pci-config") != fewer.end()));
    BOOST_TEST((std::ranges::find(fewer, "acpi-pm") == fewer.end()));
}

BOOST_AUTO_TEST_CASE(four_serial_ports_are_com1_to_com4) {
    Fixture fixture;
    fixture.attach({"--serial", "null", "--serial", "pty", "--serial", "stdio", "--serial", "tcp:0", "g"});
    for (const unsigned port : {0x3f8, 0x2f8, 0x3e8, 0x2e8}) BOOST_TEST(fixture.ports.device_name(port) == "uart16550");
    BOOST_TEST(fixture.opened[1] == "serial1 reads pty");
    BOOST_TEST(fixture.opened[3] == "serial3 reads tcp:0");
}

BOOST_AUTO_TEST_CASE(without_defaults_there_is_nothing) {
    Fixture fixture;
    fixture.attach({"--no-defaults", "g"});
    BOOST_TEST(fixture.ports.devices().empty());
    BOOST_TEST(fixture.opened.empty());
}

BOOST_AUTO_TEST_CASE(a_serial_port_that_is_added_as_a_device_reads) {
    Fixture fixture;
    fixture.attach({"--no-defaults", "--device", "uart16550,port=0x200,chardev=tcp:0,,wait", "g"});
    BOOST_REQUIRE(fixture.opened.size() == 1U);
    BOOST_TEST(fixture.opened[0] == "uart16550 reads tcp:0,wait");
}

BOOST_AUTO_TEST_CASE(a_rehearsal_opens_nothing) {
    asio::io_context loop;
    BOOST_CHECK_NO_THROW(
        dry_run(parse({"--serial", "file:/no/such/directory/file", "--serial", "tcp:192.0.2.1:1", "g"}), {}, loop));
}

BOOST_AUTO_TEST_CASE(a_rehearsal_finds_what_is_wrong) {
    struct Case {
        std::vector<std::string> arguments;
        std::string message;  ///< a part of it
    };
    const Case cases[] = {
        {{"--serial", "tpc:4444", "g"}, "--serial 'tpc:4444'"},
        {{"--serial", "tcp:70000", "g"}, "70000"},
        {{"--serial", "tcp:4444,nonsense", "g"}, "nonsense"},
        {{"--serial", "", "g"}, "--serial"},
        {{"--debugcon", "fil:x", "g"}, "device debugcon, chardev 'fil:x'"},
        {{"--device", "conter", "g"}, "did you mean counter?"},
        {{"--device", "counter,colour=red", "g"}, "colour"},
        {{"--device", "counter,port=0x10000", "g"}, "port=0x10000"},
        {{"--device", "exit,code=maybe", "g"}, "code=maybe"},
        {{"--device", "counter,mmio=0x1000", "g"}, "in the guest's RAM"},
        {{"--memory", "4G", "--device", "counter,mmio=0x100000000", "g"}, "in the guest's RAM"},
        {{"--memory", "4G", "--device", "counter,mmio=0x13ffffff8", "g"}, "in the guest's RAM"},
        {{"--mode", "64", "--device", "exit,mmio=0xfffb0000", "g"}, "in the GDT and page tables"},
        {{"--mode", "32", "--device", "exit,mmio=0xfffb7fff", "g"}, "in the GDT and page tables"},
        {{"--mode", "32", "--device", "exit,mmio=0xfffafff9", "g"}, "in the GDT and page tables"},
        {{"--device", "exit,mmio=0xfffbc000", "g"}, "in the pages that KVM keeps for itself"},
        {{"--device", "exit,mmio=0xfffbfff8", "g"}, "in the pages that KVM keeps for itself"},
        {{"--device", "exit,mmio=0xffffffffffffffff", "g"}, "leaves no room"},
    };
    for (const auto& [arguments, message] : cases) {
        const auto error = dry_run_error(arguments);
        BOOST_TEST(contains(error, message), "expected '" << message << "' in '" << error << "'");
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_the_program_reads_is_not_written) {
    namespace fs = std::filesystem;
    std::string name = "/tmp/wiring-test-XXXXXX";
    const fs::path directory = ::mkdtemp(name.data());
    const auto path = [&](const char* file) { return (directory / file).string(); };
    std::ofstream(path("guest")) << "\xf4";
    std::ofstream(path("list")) << "guest";
    fs::create_hard_link(path("guest"), path("hard"));
    fs::create_symlink("guest", path("soft"));
    for (const auto* other : {"guest", "hard", "soft"}) {
        for (const std::string before : {"file:", "null,log=", "file:/dev/null,log="}) {
            for (const std::string option : {"--serial", "--debugcon"}) {
                const auto error = dry_run_error({option, before + path(other), path("guest")});
                BOOST_TEST(contains(error, path(other) + " is also the guest's file"), error);
            }
        }
    }
    BOOST_TEST(dry_run_error({"--serial", "file:" + path("new"), "--debugcon", "file:" + path("list"), path("guest")}) ==
               "(no error)");

    const int saved = ::dup(0);
    const int list = ::open(path("list").c_str(), O_RDONLY | O_CLOEXEC);
    ::dup2(list, 0);
    const auto as_input = dry_run_error({"--serial", "null,log=" + path("list"), path("guest")});
    const auto as_guest = dry_run_error({"--serial", "file:" + path("list"), "-"});
    ::dup2(saved, 0);
    ::close(saved);
    ::close(list);
    BOOST_TEST(contains(as_input, "is also standard input"), as_input);
    BOOST_TEST(contains(as_guest, "is also the guest, from standard input"), as_guest);
    fs::remove_all(directory);
}

BOOST_AUTO_TEST_CASE(a_second_stdio_with_other_options_is_refused) {
    for (const auto* option : {"log=f", "backlog=2K", "full=drop", "linger=1"}) {
        const auto spec = std::string("stdio,") + option;
        BOOST_TEST(dry_run_error({"--serial", spec, "g"}) == "(no error)");
        BOOST_TEST(dry_run_error({"--serial", spec, "--serial", spec, "g"}) == "(no error)");
        const auto error = dry_run_error({"--serial", "stdio", "--serial", spec, "g"});
        BOOST_TEST(contains(error, "serial0 is on stdio too"), error);
        const auto device = dry_run_error({"--debugcon", spec, "g"});
        BOOST_TEST(contains(device, "serial0 is on stdio too"), device);
    }
    BOOST_TEST(contains(dry_run_error({"--serial", "stdio,full=drop", "--serial", "stdio,full=wait", "g"}), "serial0"));
}

BOOST_AUTO_TEST_CASE(two_devices_in_one_place_are_both_named) {
    const auto error = dry_run_error({"--device", "counter,port=0x3f8", "g"});
    BOOST_TEST(contains(error, "counter"), error);
    BOOST_TEST(contains(error, "uart16550"), error);
}

BOOST_AUTO_TEST_CASE(addresses_beside_the_ram_are_free) {
    BOOST_TEST(dry_run_error({"--device", "counter,mmio=0xd0000000", "g"}) == "(no error)");
    BOOST_TEST(dry_run_error({"--memory", "4G", "--device", "counter,mmio=0x140000000", "g"}) == "(no error)");
    BOOST_TEST(dry_run_error({"--memory", "3G", "--device", "counter,mmio=0x100000000", "g"}) == "(no error)");
    BOOST_TEST(dry_run_error({"--device", "counter,mmio=0xfffb0000", "g"}) == "(no error)");  // --mode 16 has no tables
    BOOST_TEST(dry_run_error({"--mode", "64", "--device", "counter,mmio=0xfffb8000", "g"}) == "(no error)");
    BOOST_TEST(dry_run_error({"--mode", "64", "--device", "counter,mmio=0xfffc0000", "g"}) == "(no error)");
}

BOOST_AUTO_TEST_CASE(virtio_devices_are_where_the_tables_say) {
    for (const auto* const machine : {"flat", "pc"}) {
        Fixture fixture;
        const std::vector<std::string> arguments{"--rng", "--machine", machine, "g"};
        fixture.attach(arguments, guess_setup(parse(arguments)));
        BOOST_TEST(fixture.mmio.device_name(0xfeb0'0000) == "virtio-rng");
        BOOST_TEST(fixture.mmio.device_name(0xfeb0'1000) == "");
        BOOST_TEST(pc_description(parse(arguments)).virtio_devices == 1u);
    }
    Fixture disks;
    disks.attach({"--rng", "--disk", "/nonexistent", "--disk", "nbd:unix:/nonexistent", "g"});
    BOOST_TEST(disks.mmio.device_name(0xfeb0'0000) == "virtio-blk");
    BOOST_TEST(disks.mmio.device_name(0xfeb0'1000) == "virtio-blk");
    BOOST_TEST(disks.mmio.device_name(0xfeb0'2000) == "virtio-rng");
    BOOST_TEST(pc_description(parse({"--rng", "--disk", "a", "--disk", "b", "g"})).virtio_devices == 3u);
    Fixture without;
    without.attach({"g"});
    BOOST_TEST(without.mmio.ranges().empty());
    BOOST_TEST(pc_description(parse({"g"})).virtio_devices == 0u);
    Fixture all;
    all.attach({"--vsock", "unix:/nonexistent/a", "--rng", "--net", "user", "--net", "tap", "--disk", "a", "g"});
    BOOST_TEST(all.mmio.device_name(0xfeb0'0000) == "virtio-blk");
    BOOST_TEST(all.mmio.device_name(0xfeb0'1000) == "virtio-net");
    BOOST_TEST(all.mmio.device_name(0xfeb0'2000) == "virtio-net");
    BOOST_TEST(all.mmio.device_name(0xfeb0'3000) == "virtio-rng");
    BOOST_TEST(all.mmio.device_name(0xfeb0'4000) == "virtio-vsock");
    BOOST_TEST(pc_description(parse({"--net", "user", "--vsock", "unix:a", "g"})).virtio_devices == 2u);
    Fixture elsewhere;
    elsewhere.attach({"--rng", "--fs", "/nonexistent,tag=a", "--disk", "vhost-user:/nonexistent", "g"});
    BOOST_TEST(elsewhere.mmio.device_name(0xfeb0'0000) == "vhost-user");
    BOOST_TEST(elsewhere.mmio.device_name(0xfeb0'1000) == "vhost-user");
    BOOST_TEST(elsewhere.mmio.device_name(0xfeb0'2000) == "virtio-rng");
    BOOST_TEST(pc_description(parse({"--rng", "--fs", "/a,tag=a", "g"})).virtio_devices == 2u);
    BOOST_TEST(dry_run_error({"--rng", "--device", "counter,mmio=0xfeb00000", "g"}).find("virtio-rng") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(with_a_pci_bus_a_host_bridge_has_the_configuration_ports) {
    for (const auto* const machine : {"flat", "pc"}) {
        Fixture fixture;
        const std::vector<std::string> arguments{"--transport",  "pci",       "--rng", "--disk",
                                                 "/nonexistent", "--machine", machine, "g"};
        fixture.attach(arguments, guess_setup(parse(arguments)));
        BOOST_TEST(fixture.ports.device_name(0xcf8) == "pci-host");
        BOOST_TEST(fixture.mmio.device_name(0xfeb0'0000) == "");
        BOOST_TEST(fixture.mmio.devices().size() == 3u);  // the bridge, a disk, an entropy device
        BOOST_TEST((pc_description(parse(arguments)).virtio_transport == VirtioTransport::pci));
    }
    Fixture without;
    without.attach({"--transport", "mmio", "--rng", "g"});
    BOOST_TEST(without.ports.device_name(0xcf8) == "pci-config");
    BOOST_TEST(dry_run_error({"--transport", "pci", "--device", "pci-config,mechanism=on", "g"}).find("pci-host") !=
               std::string::npos);
    BOOST_TEST(usage_error([] {
                   static_cast<void>(parse({"--transport", "isa", "g"}));
               }) == "--transport isa: it is mmio (a page of memory for each virtio device) or pci (a PCI bus)");
}

BOOST_AUTO_TEST_CASE(each_console_is_a_virtio_device_with_a_stream_of_its_own) {
    Fixture fixture;
    fixture.attach({"--console", "tcp:4444", "--console", "null", "--rng", "g"});
    BOOST_TEST(fixture.mmio.device_name(0xfeb0'0000) == "virtio-console");
    BOOST_TEST(fixture.mmio.device_name(0xfeb0'1000) == "virtio-console");
    BOOST_TEST(fixture.mmio.device_name(0xfeb0'2000) == "virtio-rng");
    BOOST_TEST(std::ranges::count(fixture.opened, "console0 reads tcp:4444") == 1);
    BOOST_TEST(std::ranges::count(fixture.opened, "console1 reads null") == 1);
    BOOST_TEST(dry_run_error({"--console", "tpc:1", "g"}).find("--console") == 0u);
    std::vector<std::string> many{"g"};
    for (int i = 0; i < 9; ++i) many.insert(many.begin(), {"--console", "null"});
    BOOST_TEST(usage_error([&] { static_cast<void>(parse(many)); }).find("--console is given 9 times") == 0u);
}

BOOST_AUTO_TEST_CASE(all_virtio_ports_are_one_device_with_a_stream_each) {
    Fixture fixture;
    fixture.attach({"--virtio-port", "one=tcp:4444", "--console", "null", "--virtio-port", "b.2=file:a=b", "--rng", "g"});
    BOOST_TEST(fixture.mmio.device_name(0xfeb0'0000) == "virtio-console");
    BOOST_TEST(fixture.mmio.device_name(0xfeb0'1000) == "virtio-ports");
    BOOST_TEST(fixture.mmio.device_name(0xfeb0'2000) == "virtio-rng");
    BOOST_TEST(std::ranges::count(fixture.opened, "port one reads tcp:4444") == 1);
    BOOST_TEST(std::ranges::count(fixture.opened, "port b.2 reads file:a=b") == 1);
    BOOST_TEST(pc_description(parse({"--virtio-port", "a=null", "--virtio-port", "b=null", "g"})).virtio_devices == 1u);
    const auto refusal = [](const std::vector<std::string>& words) {
        return usage_error([&words] { static_cast<void>(parse(words)); });
    };
    BOOST_TEST(refusal({"--virtio-port", "null", "g"}).find("is not NAME=SPEC") != std::string::npos);
    for (const std::string& name : {std::string(), std::string("a b"), std::string("a/b"), std::string(65, 'x')}) {
        BOOST_TEST(refusal({"--virtio-port", name + "=null", "g"}).find("a name has 1 to 64") != std::string::npos);
    }
    BOOST_TEST(refusal({"--virtio-port", "a=null", "--virtio-port", "a=pty", "g"}).find("a is there twice") !=
               std::string::npos);
    std::vector<std::string> many{"g"};
    for (int i = 0; i < 17; ++i) many.insert(many.begin(), {"--virtio-port", std::to_string(i) + "=null"});
    BOOST_TEST(refusal(many).find("--virtio-port is given 17 times") == 0u);
    BOOST_TEST(dry_run_error({"--virtio-port", "a=tpc:1", "g"}).find("--virtio-port a: ") == 0u);
}

BOOST_AUTO_TEST_CASE(only_a_console_has_a_size) {
    asio::io_context loop;
    const auto console = parse({"--console", "tcp:1,cols=80,rows=25", "g"});
    BOOST_CHECK_NO_THROW(dry_run(console, guess_setup(console), loop));
    for (const std::string where : {"--serial", "--virtio-port", "--debugcon"}) {
        const std::string name = where == "--virtio-port" ? "a=" : "";
        BOOST_TEST(dry_run_error({where, name + "tcp:1,cols=80,rows=25", "g"}).find("only a virtio console") !=
                   std::string::npos);
    }
}

BOOST_AUTO_TEST_SUITE_END()
