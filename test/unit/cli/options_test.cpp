#define BOOST_TEST_MODULE cli
#include "command_line.hpp"

#include "cli/raw_options.hpp"
#include "cli/setup.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <sstream>

using namespace asyncvm;
using namespace asyncvm::cli;

BOOST_AUTO_TEST_SUITE(options)

BOOST_AUTO_TEST_CASE(a_guest_alone_gets_the_documented_defaults) {
    const auto options = parse({"guest.bin"});
    BOOST_TEST(options.text.empty());
    BOOST_TEST(options.guest == "guest.bin");
    BOOST_TEST(options.serials == std::vector<std::string>{"stdio"}, boost::test_tools::per_element());
    BOOST_TEST(!options.load.has_value());
    BOOST_TEST(!options.entry.has_value());
    BOOST_TEST(!options.mode.has_value());
    BOOST_TEST(options.registers.empty());
    BOOST_TEST(options.memory_size == 128U << 20);
    BOOST_TEST(options.cpus == 1U);
    BOOST_TEST((options.accelerator == AcceleratorChoice::automatic));
    BOOST_TEST(!options.verbose);
    BOOST_TEST(!options.statistics);
    BOOST_TEST(!options.devices.empty());
}

BOOST_AUTO_TEST_CASE(statistics_are_a_flag) { BOOST_TEST(parse({"--stats", "guest.bin"}).statistics); }

BOOST_AUTO_TEST_CASE(networks_and_sockets) {
    const auto options =
        parse({"--net", "user", "--net", "stream:unix:/a,mac=02:00:00:00:00:01", "--vsock", "unix:/b,cid=9", "g"});
    BOOST_REQUIRE(options.networks.size() == 2u);
    BOOST_TEST((options.networks[0].kind == NetSpec::Kind::user));
    BOOST_TEST(options.networks[1].path == "/a");
    BOOST_REQUIRE(options.vsock.has_value());
    BOOST_TEST(options.vsock->cid == 9u);
    BOOST_TEST(usage_error([] { parse({"--net", "vde", "g"}); }).find("--net 'vde': unknown; one of stream:") == 0u);
    BOOST_TEST(usage_error([] { parse({"--vsock", "/b", "g"}); }).find("--vsock '/b': it begins with unix:PATH") == 0u);
    BOOST_TEST(usage_error([] {
                   parse({"--vsock", "unix:a", "--vsock", "unix:b", "g"});
               }).find("given twice") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(devices_of_other_processes_share_the_memory) {
    const auto options = parse({"--fs", "/a,tag=home", "--fs", "tag=b,socket=/b", "guest.bin"});
    BOOST_REQUIRE(options.file_systems.size() == 2u);
    BOOST_TEST(options.file_systems[0].path == "/a");
    BOOST_TEST(options.file_systems[1].tag == "b");
    BOOST_TEST(options.memory_share);
    BOOST_TEST(parse({"--disk", "vhost-user:/a", "g"}).memory_share);
    BOOST_TEST(parse({"--net", "vhost-user:/a", "g"}).memory_share);
    BOOST_TEST(!parse({"--disk", "a", "--net", "user", "g"}).memory_share);
    BOOST_TEST(usage_error([] { parse({"--fs", "/a", "g"}); }).find("--fs '/a': tag= is missing") == 0u);
    for (const auto& [option, value] :
         {std::pair("--fs", "/a,tag=b"), std::pair("--disk", "vhost-user:/a"), std::pair("--net", "vhost-user:/a")}) {
        const auto error = usage_error([&] { parse({option, value, "--memory-share", "off", "g"}); });
        BOOST_TEST(error.find("--memory-share off: the back end of ") == 0u, error);
        BOOST_TEST(parse({option, value, "--memory-share", "on", "g"}).memory_share);
    }
}

BOOST_AUTO_TEST_CASE(disks_are_virtio_devices_but_for_the_first_of_a_boot_sector) {
    const auto options = parse({"--disk", "a.img,ro", "--disk", "nbd:unix:/b,serial=b", "guest.bin"});
    BOOST_REQUIRE(options.disks.size() == 2u);
    BOOST_TEST(options.disks[0].read_only);
    BOOST_TEST(boot_request(options).disk == "");
    BOOST_TEST(virtio_disks(options).size() == 2u);
    BOOST_TEST(virtio_disks(options)[0].source == "a.img");
    const auto boot = parse({"--format", "boot", "--disk", "a.img,ro", "--disk", "b.img", "guest.bin"});
    BOOST_TEST(boot_request(boot).disk == "a.img");
    BOOST_REQUIRE(virtio_disks(boot).size() == 1u);
    BOOST_TEST(virtio_disks(boot)[0].source == "b.img");
}

BOOST_AUTO_TEST_CASE(a_boot_sectors_disk_is_a_file_without_options) {
    for (const auto* const disk : {"a,snapshot", "a,serial=x", "a,cache=none", "nbd:unix:/a", "vhost-user:/a"}) {
        const auto error = usage_error([&] { static_cast<void>(parse({"--format", "boot", "--disk", disk, "g"})); });
        BOOST_TEST(error.find("the first --disk is the boot sector's") != std::string::npos, error);
    }
}

BOOST_AUTO_TEST_CASE(mistakes_in_a_disk_are_the_options) {
    BOOST_TEST(usage_error([] {
                   static_cast<void>(parse({"--disk", "a,rw", "g"}));
               }).find("--disk a,rw: there is no option rw") == 0u);
    BOOST_TEST(usage_error([] { static_cast<void>(parse({"--disk", "", "guest.bin"})); }).find("--disk needs a file") == 0u);
}

BOOST_AUTO_TEST_CASE(every_option_is_understood) {
    const auto options =
        parse({"--serial", "tcp:4444,wait", "--serial=null", "--load", "0x7c00", "--entry=0x7c10", "--mode", "64", "--reg",
               "rax=2", "--reg", "1:rbx=3", "--memory", "1G", "--cpus", "2", "-v", "guest.bin"});
    const std::vector<std::string> serials{"tcp:4444,wait", "null"};
    BOOST_TEST(options.serials == serials, boost::test_tools::per_element());
    BOOST_TEST(options.load.value() == 0x7c00U);
    BOOST_TEST(options.entry.value() == 0x7c10U);
    BOOST_TEST((options.mode == Mode::long64));
    BOOST_REQUIRE(options.registers.size() == 2U);
    BOOST_TEST(options.registers[0].name == "rax");
    BOOST_TEST(options.registers[1].cpu.value() == 1U);
    BOOST_TEST(options.registers[1].value == 3U);
    BOOST_TEST(options.memory_size == 1U << 30);
    BOOST_TEST(options.cpus == 2U);
    BOOST_TEST(options.verbose);
    BOOST_TEST(options.guest == "guest.bin");
}

BOOST_AUTO_TEST_CASE(short_names_and_aliases_mean_the_same) {
    BOOST_TEST(parse({"-m", "64K", "g"}).memory_size == 64U << 10);
    BOOST_TEST(parse({"-m64M", "g"}).memory_size == 64U << 20);
    BOOST_TEST(parse({"--smp", "3", "g"}).cpus == 3U);
    BOOST_TEST((parse({"--mode", "16", "g"}).mode == Mode::real16));
    BOOST_TEST((parse({"--mode", "32", "g"}).mode == Mode::protected32));
    BOOST_TEST(parse({"--verbose", "g"}).verbose);
}

BOOST_AUTO_TEST_CASE(posted_writes_can_be_switched_off) {
    BOOST_TEST(parse({"g"}).posted_writes);
    BOOST_TEST(parse({"--posted-writes", "on", "g"}).posted_writes);
    BOOST_TEST(!parse({"--posted-writes=off", "g"}).posted_writes);
}

BOOST_AUTO_TEST_CASE(what_the_memory_is_made_of_can_be_chosen) {
    BOOST_TEST(!parse({"g"}).huge_pages.has_value());
    BOOST_TEST((parse({"--hugepages", "on", "g"}).huge_pages == HugePages::on));
    BOOST_TEST((parse({"--hugepages=reserved", "g"}).huge_pages == HugePages::reserved));
    BOOST_TEST(!parse({"g"}).memory_share);
    BOOST_TEST(parse({"--memory-share", "on", "g"}).memory_share);
}

BOOST_AUTO_TEST_CASE(interrupt_controllers_can_be_asked_for) {
    BOOST_TEST(!parse({"g"}).irqchip);
    BOOST_TEST(parse({"--irqchip", "on", "g"}).irqchip);
    BOOST_TEST(!parse({"--irqchip=on", "--irqchip=off", "g"}).irqchip);
}

BOOST_AUTO_TEST_CASE(the_accelerator_can_be_chosen) {
    BOOST_TEST((parse({"--accel", "kvm", "g"}).accelerator == AcceleratorChoice::kvm));
    BOOST_TEST((parse({"--accel=unicorn", "g"}).accelerator == AcceleratorChoice::unicorn));
    BOOST_TEST((parse({"--accel", "auto", "g"}).accelerator == AcceleratorChoice::automatic));
}

BOOST_AUTO_TEST_CASE(the_guest_may_stand_anywhere_and_have_any_name) {
    BOOST_TEST(parse({"guest.bin", "--cpus", "2"}).guest == "guest.bin");
    BOOST_TEST(parse({"--serial", "null", "guest.bin", "--serial", "null"}).guest == "guest.bin");
    BOOST_TEST(parse({"-"}).guest == "-");
    BOOST_TEST(parse({"--", "--odd-name"}).guest == "--odd-name");
    BOOST_TEST(parse({"[a,b]"}).guest == "[a,b]");
    BOOST_TEST(parse({"\"quoted\""}).guest == "\"quoted\"");
}

BOOST_AUTO_TEST_CASE(of_an_option_that_is_given_twice_the_last_counts) {
    BOOST_TEST(parse({"--load", "1", "--load", "2", "g"}).load.value() == 2U);
    BOOST_TEST(parse({"-m", "64M", "--memory", "32M", "g"}).memory_size == 32U << 20);
}

BOOST_AUTO_TEST_CASE(values_reach_the_specs_untouched) {
    const auto options =
        parse({"--serial", "[x,y]", "--serial", "tcp:[::1]:4444,wait", "--serial", "file:a b\\n\"c\"", "g"});
    const std::vector<std::string> serials{"[x,y]", "tcp:[::1]:4444,wait", "file:a b\\n\"c\""};
    BOOST_TEST(options.serials == serials, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(no_defaults_leaves_only_what_is_named) {
    const auto bare = parse({"--no-defaults", "g"});
    BOOST_TEST(bare.serials.empty());
    BOOST_TEST(bare.devices.empty());
    const auto named = parse({"--no-defaults", "--serial", "null", "--device", "counter", "--debugcon", "null", "g"});
    BOOST_TEST(named.serials.size() == 1U);
    BOOST_REQUIRE(named.devices.size() == 2U);
    BOOST_TEST(named.devices[0].name == "counter");
    BOOST_TEST(named.devices[1].name == "debugcon");
}

BOOST_AUTO_TEST_CASE(debugcon_redirects_the_default_debug_console) {
    const auto options = parse({"--debugcon", "file:log.txt", "g"});
    BOOST_TEST(std::ranges::count(options.devices, "debugcon", &DeviceRequest::name) == 1);
    const auto device = std::ranges::find(options.devices, "debugcon", &DeviceRequest::name);
    BOOST_REQUIRE(device->options.size() == 1U);
    BOOST_TEST(device->options[0].first == "chardev");
    BOOST_TEST(device->options[0].second == "file:log.txt");
}

BOOST_AUTO_TEST_CASE(debugcon_redirects_a_debug_console_that_was_asked_for) {
    const auto options = parse({"--debugcon", "null", "--device", "debugcon,port=0x402", "g"});
    const auto device = std::ranges::find(options.devices, "debugcon", &DeviceRequest::name);
    BOOST_TEST(device->options.size() == 2U);
}

BOOST_AUTO_TEST_CASE(help_and_version_win_over_everything_else) {
    BOOST_TEST(contains(parse({"--help"}).text, "usage: asyncvm [options] GUEST"));
    BOOST_TEST(contains(parse({"-h", "--no-such-option", "a", "b"}).text, "usage:"));
    BOOST_TEST(parse({"--version", "--mode", "7"}).text == "asyncvm " ASYNCVM_VERSION "\n");
}

BOOST_AUTO_TEST_CASE(device_help_needs_no_guest) {
    BOOST_TEST(contains(parse({"--device", "help"}).text, "debugcon"));
    BOOST_TEST(contains(parse({"--device", "exit,help"}).text, "code=qemu|exact"));
}

BOOST_AUTO_TEST_CASE(help_names_every_option_and_fits_a_terminal) {
    const auto help = parse({"--help"}).text;
    for (const auto name : option_names()) BOOST_TEST(contains(help, std::string(name)), name << " is missing");
    for (const auto part :
         {"Examples:", "Exit codes:", "nc localhost 4444", "linger=", "backlog=", "history=", "full=", "reconnect="}) {
        BOOST_TEST(contains(help, part), part << " is missing");
    }
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) BOOST_TEST(line.size() <= 90U, line);
}

BOOST_AUTO_TEST_CASE(mistakes_are_named) {
    struct Case {
        std::vector<std::string> arguments;
        std::string message;  ///< a part of it
    };
    const Case cases[] = {
        {{}, "no guest is given"},
        {{"--cpus", "2"}, "no guest is given"},
        {{""}, "no guest is given"},
        {{"a", "b"}, "unexpected argument: b"},
        {{"--seral", "null", "g"}, "unknown option: --seral (did you mean --serial?)"},
        {{"-serial", "null", "g"}, "unknown option: -serial (did you mean --serial?)"},
        {{"--frobnicate=3", "g"}, "unknown option: --frobnicate"},
        {{"-x", "g"}, "unknown option: -x"},
        {{"g", "--serial"}, "--serial needs a value"},
        {{"--serial=", "g"}, "--serial needs a value"},
        {{"g", "-m"}, "--memory needs a value"},
        {{"--verbose=yes", "g"}, "--verbose can't have a value"},
        {{"--no-defaults=no", "g"}, "--no-defaults can't have a value"},
        {{"--help=me", "g"}, "--help can't have a value"},
        {{"-v=1", "g"}, "-v can't have a value"},
        {{"-h=1", "g"}, "-h can't have a value"},
        {{"-m=1G", "g"}, "-m=1G: the value of a short option follows without = (example: -m 1G)"},
        {{"--cpu", "", "g"}, "--cpu needs the features that it changes"},
        {{"--mode", "8", "g"}, "--mode 8: it is 16"},
        {{"--mode", "real", "g"}, "--mode real: it is 16"},
        {{"--accel", "qemu", "g"}, "--accel: unknown accelerator 'qemu' (kvm, unicorn or auto)"},
        {{"--posted-writes", "no", "g"}, "--posted-writes no: it is on"},
        {{"--hugepages", "2M", "g"}, "--hugepages 2M: it is off"},
        {{"--memory-share", "yes", "g"}, "--memory-share yes: it is on"},
        {{"--accel", "unicorn", "--cpu", "-avx", "g"}, "take --accel kvm"},
        {{"--accel", "unicorn", "--irqchip", "on", "g"}, "--irqchip on: Unicorn can't interrupt a guest"},
        {{"--irqchip", "yes", "g"}, "--irqchip yes: it is on"},
        {{"--cpus", "0", "g"}, "--cpus 0: a machine has 1 to 255 vCPUs"},
        {{"--cpus", "256", "g"}, "1 to 255 vCPUs"},
        {{"--cpus", "two", "g"}, "1 to 255 vCPUs"},
        {{"--smp", "-1", "g"}, "1 to 255 vCPUs"},
        {{"--load", "here", "g"}, "--load here"},
        {{"--load", "-5", "g"}, "--load -5"},
        {{"--entry", "0x", "g"}, "--entry 0x"},
        {{"--memory", "0", "g"}, "--memory 0"},
        {{"--memory", "100001", "g"}, "multiple of 4096"},
        {{"--memory", "1T", "g"}, "--memory 1T"},
        {{"--memory", "99999999999999999999", "g"}, "--memory 99999999999999999999"},
        {{"--reg", "rax", "g"}, "--reg rax"},
        {{"--reg", "foo=1", "g"}, "--reg foo=1"},
        {{"--reg", "al=256", "g"}, "--reg al=256"},
        {{"--reg", "1:rax=1", "g"}, "there is no vCPU 1"},
        {{"--mode", "64", "--reg", "ds=1", "g"}, "--reg ds=1"},
        {{"--device", "", "g"}, "--device"},
        {{"--device", "nosuch,help"}, "there is no device nosuch"},
        {{"--serial", "null", "--serial", "null", "--serial", "null", "--serial", "null", "--serial", "null", "g"},
         "--serial is given 5 times"},
        {{"--debugcon", "null", "--device", "debugcon,chardev=null", "g"}, "drop one of them"},
    };
    for (const auto& [arguments, message] : cases) {
        const auto error = usage_error([&arguments = arguments] { static_cast<void>(parse(arguments)); });
        BOOST_TEST(contains(error, message), "expected '" << message << "' in '" << error << "'");
        BOOST_TEST(!contains(error, "\n"), error);
    }
}

BOOST_AUTO_TEST_SUITE_END()
