#define BOOST_TEST_MODULE catalogue
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include "bus/io_bus.hpp"
#include "device_runner.hpp"
#include "devices/catalogue.hpp"
#include "fake_chardev.hpp"
#include "record/recording.hpp"
#include "surroundings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

using namespace asyncvm;

namespace {

struct Fixture {
    asio::io_context loop{1};
    std::shared_ptr<DeviceSlots> slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports{Space::port, slots};
    IoBus mmio{Space::memory, slots};
    std::vector<Outcome> outcomes;
    std::vector<std::string> lines;
    std::map<std::string, std::shared_ptr<FakeChardev>, std::less<>> chardevs;
    DeviceHost host{
        ports,
        mmio,
        [this](Outcome outcome) { outcomes.push_back(std::move(outcome)); },
        [this](std::string_view spec) { return open(spec); },
        [this](std::string_view line) { lines.emplace_back(line); },
        [](std::uint64_t first, std::uint64_t) -> std::string_view { return first < 0x800'0000 ? "the guest's RAM" : ""; }};

    std::shared_ptr<FakeChardev> open(std::string_view spec) {
        auto& chardev = chardevs[std::string(spec)];
        if (!chardev) chardev = std::make_shared<FakeChardev>();
        return chardev;
    }

    void add(std::string_view text) { add_device(host, text); }

    std::uint64_t access(IoBus& bus, Direction direction, std::uint64_t address, unsigned size, std::uint64_t value = 0) {
        std::array<std::byte, 8> data{};
        std::memcpy(data.data(), &value, sizeof value);
        Transaction transaction;
        transaction.direction = direction;
        transaction.size = static_cast<std::uint8_t>(size);
        transaction.address = address;
        transaction.data = std::span(data).first(size);
        std::exception_ptr failure;
        asio::co_spawn(loop, bus.perform(transaction, 0), [&failure](std::exception_ptr e) { failure = std::move(e); });
        loop.restart();
        loop.run();
        if (failure) std::rethrow_exception(failure);
        std::memcpy(&value, data.data(), sizeof value);
        return value & all_ones(size);
    }

    void out(std::uint64_t port, unsigned size, std::uint64_t value) { access(ports, Direction::write, port, size, value); }
    std::uint64_t in(std::uint64_t port, unsigned size) { return access(ports, Direction::read, port, size); }

    void check_usage_error(std::string_view device, std::string_view message) {
        BOOST_CHECK_EXCEPTION(add(device), Error, [message](const Error& error) {
            BOOST_TEST(error.what() == message);
            return error.kind() == ErrorKind::usage;
        });
    }
};

std::vector<std::string> names(const std::vector<DeviceRequest>& plan) {
    std::vector<std::string> result;
    for (const auto& request : plan) result.push_back(request.name);
    return result;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(catalogue, Fixture)

BOOST_AUTO_TEST_CASE(the_defaults_are_where_the_documents_say) {
    add_default_devices(host);
    for (const auto& [port, name] : {std::pair{0x10u, "counter"},
                                     {0xe9u, "debugcon"},
                                     {0xf1u, "debugcon"},
                                     {0x402u, "debugcon"},
                                     {0xf4u, "exit"},
                                     {0x501u, "exit"},
                                     {0x80u, "post"},
                                     {0x92u, "port92"},
                                     {0xcffu, "pci-config"},
                                     {0x600u, "power"},
                                     {0x604u, "power"},
                                     {0x4004u, "power"},
                                     {0xb004u, "power"},
                                     {0xf2u, "sleep"}}) {
        BOOST_TEST(ports.device_name(port) == name);
        BOOST_TEST(ports.device_name(port + 1) != name);
    }
    BOOST_TEST(ports.devices().size() == 8u);
    BOOST_TEST(mmio.devices().empty());
    BOOST_TEST(chardevs.size() == 1u);
    BOOST_TEST(chardevs.contains("stdio"));
}

BOOST_AUTO_TEST_CASE(wide_accesses_do_not_reach_the_neighbour) {
    add_default_devices(host);
    out(0xf1, 4, 0x216f'6c48);
    BOOST_TEST(outcomes.empty());
    BOOST_TEST(chardevs["stdio"]->take() == "Hlo!");
    out(0x10, 2, 513);
    BOOST_TEST(chardevs["stdio"]->take() == "out port: 16, data: 513\n");
}

BOOST_AUTO_TEST_CASE(a_device_can_be_at_another_port) {
    add("exit,port=0x600,code=exact");
    out(0xf4, 1, 3);
    BOOST_TEST(outcomes.empty());
    out(0x600, 1, 3);
    BOOST_REQUIRE(outcomes.size() == 1u);
    BOOST_TEST(outcomes[0].guest_code == 3);
}

BOOST_AUTO_TEST_CASE(a_device_can_be_in_memory) {
    add("debugcon,mmio=0xd0000000,chardev=null");
    access(mmio, Direction::write, 0xd000'0000, 8, 0x6867'6665'6463'6261);
    access(mmio, Direction::write, 0xd000'0001, 1, '!');
    BOOST_TEST(chardevs["null"]->take() == "abcdefgh!");
    BOOST_TEST(access(mmio, Direction::read, 0xd000'0000, 4) == 0xe9e9'e9e9u);
    BOOST_TEST(in(0xe9, 1) == 0xffu);
}

BOOST_AUTO_TEST_CASE(post_codes_are_traced_when_asked_for) {
    add("post,trace=on");
    out(0x80, 1, 0x41);
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(lines[0] == "POST code 0x41");
    add("post,port=0x84,trace=off");
    out(0x84, 1, 0x42);
    BOOST_TEST(lines.size() == 1u);
    BOOST_TEST(in(0x84, 1) == 0x42u);
}

BOOST_AUTO_TEST_CASE(a_guest_that_asks_for_power_off_or_reset_ends_its_machine) {
    add("power");
    out(0x604, 2, 0x2000);
    out(0x600, 1, 1);
    BOOST_REQUIRE(outcomes.size() == 2u);
    BOOST_TEST((outcomes[0].kind == Outcome::Kind::powered_off));
    BOOST_TEST(outcomes[0].summary == "the guest wrote 0x2000 to port 0x604 (power off)");
    BOOST_TEST((outcomes[1].kind == Outcome::Kind::reset));
    BOOST_TEST(outcomes[1].summary == "the guest wrote 0x1 to port 0x600 (reset)");
}

BOOST_AUTO_TEST_CASE(a_program_may_take_what_the_guest_asks_for_into_its_own_hands) {
    std::vector<std::string> asked;
    host.power_off = [&asked](const std::string& why) { asked.push_back("off: " + why); };
    host.reset = [&asked](const std::string& why) { asked.push_back("reset: " + why); };
    add("power");
    out(0xb004, 2, 0x2000);
    out(0x600, 1, 1);
    BOOST_TEST(outcomes.empty());
    const std::vector<std::string> expected{"off: the guest wrote 0x2000 to port 0xb004 (power off)",
                                            "reset: the guest wrote 0x1 to port 0x600 (reset)"};
    BOOST_TEST(asked == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_uart_takes_its_chardev_from_its_options) {
    add("uart16550,port=0x3e8,chardev=tcp:5555,,wait");
    out(0x3e8, 1, 'u');
    BOOST_TEST(chardevs["tcp:5555,wait"]->take() == "u");
    BOOST_TEST(in(0x3ed, 1) == 0x60u);
}

BOOST_AUTO_TEST_CASE(a_uart_in_memory_can_have_spaced_registers) {
    add("uart16550,mmio=0xd0000000,stride=4,chardev=null");
    access(mmio, Direction::write, 0xd000'0000, 4, 'w');
    access(mmio, Direction::write, 0xd000'0000, 1, 'b');
    access(mmio, Direction::write, 0xd000'0001, 1, '-');
    BOOST_TEST(chardevs["null"]->take() == "wb");
    BOOST_TEST(access(mmio, Direction::read, 0xd000'0014, 4) == 0x60u);
    BOOST_TEST(access(mmio, Direction::read, 0xd000'0014, 1) == 0x60u);
    access(mmio, Direction::write, 0xd000'001c, 4, 0x1234'565a);
    BOOST_TEST(access(mmio, Direction::read, 0xd000'001c, 4) == 0x5au);
    BOOST_TEST(mmio.device_name(0xd000'001f) == "uart16550");
    BOOST_TEST(mmio.device_name(0xd000'0020) == "");
    check_usage_error("uart16550,mmio=0xd1000000,stride=3", "device uart16550: stride=3 is not one of: 1, 2, 4, 8");
    check_usage_error("uart16550,port=0x100,stride=4",
                      "device uart16550: stride goes with mmio=ADDRESS only: ports are one byte apart");
}

BOOST_AUTO_TEST_CASE(a_device_in_memory_has_room_below_the_end_of_physical_addresses) {
    const auto refused = [](const char* address) {
        return std::string("device exit: mmio=") + address +
               " leaves no room for its 8 bytes: the last address of a guest's memory is 0xfffffffffffff";
    };
    for (const char* const address : {"0xffffffffffffffff", "0xfffffffffffffff8", "0x10000000000000", "0xffffffffffff9"}) {
        check_usage_error(std::string("exit,mmio=") + address, refused(address));
    }
    add("exit,mmio=0xffffffffffff8");
    BOOST_TEST(mmio.device_name(0xf'ffff'ffff'ffff) == "exit");
}

BOOST_AUTO_TEST_CASE(there_are_four_serial_ports) {
    const std::array<std::uint64_t, 4> expected{0x3f8, 0x2f8, 0x3e8, 0x2e8};
    for (unsigned index = 0; index < 4; ++index) {
        const auto chardev = std::make_shared<FakeChardev>();
        add_serial_port(host, index, chardev);
        out(expected[index], 1, 'A' + index);
        BOOST_TEST(chardev->take() == std::string(1, static_cast<char>('A' + index)));
    }
    BOOST_CHECK_THROW(add_serial_port(host, 4, std::make_shared<FakeChardev>()), Error);
}

BOOST_AUTO_TEST_CASE(serial_ports_have_the_interrupt_lines_of_a_pc_or_the_one_that_is_asked_for) {
    Surroundings surroundings(loop);
    struct Case {
        std::string device;
        std::optional<unsigned> irq;
    };
    const std::vector<Case> cases{{"", 4},
                                  {"", 3},
                                  {"uart16550,port=0x3e8", 4},
                                  {"uart16550,port=0x2e8", 3},
                                  {"uart16550,port=0x100", std::nullopt},
                                  {"uart16550,port=0x108,irq=10", 10},
                                  {"uart16550,mmio=0xd0000000,irq=11", 11},
                                  {"uart16550,mmio=0xd0001000", std::nullopt}};
    unsigned index = 0;
    std::vector<std::shared_ptr<Device>> known;
    for (const auto& [device, irq] : cases) {
        if (device.empty()) {
            add_serial_port(host, index++, std::make_shared<FakeChardev>());
        } else {
            add(device);
        }
        auto all = ports.devices();
        for (const auto& each : mmio.devices()) all.push_back(each);
        const auto added =
            std::ranges::find_if(all, [&known](const auto& each) { return std::ranges::count(known, each) == 0; });
        BOOST_REQUIRE((added != all.end()));
        known.push_back(*added);
        known.back()->attached(surroundings.context());
        // The transmitter is empty: its interrupt comes as soon as it is enabled.
        Access enable = DeviceRunner::make_access(0, 1, 0x02);
        enable.offset = 1;
        DeviceRunner().write(*known.back(), enable);
        for (unsigned line = 0; line < surroundings.pins.size(); ++line) {
            BOOST_TEST(surroundings.pins[line].pin.level() == (irq == line), device << ", line " << line);
        }
        enable.data = 0;
        DeviceRunner().write(*known.back(), enable);
    }
    check_usage_error(
        "uart16550,port=0x200,irq=24",
        "device uart16550: irq=24 is not a number from 0 to 0x17 (decimal, 0x hexadecimal, 0b binary or 0o octal)");
}

BOOST_AUTO_TEST_CASE(errors_say_what_there_is) {
    check_usage_error("conter", "there is no device conter (did you mean counter?)");
    check_usage_error("isa-debug-exit,iobase=0xf4",
                      "there is no device isa-debug-exit (QEMU's; here: exit, there by default at ports 0xf4 and 0x501)");
    check_usage_error("virtio-rng-pci", "there is no device virtio-rng-pci (QEMU's; here: --rng)");
    check_usage_error("nvme",
                      "there is no device nvme (there are: uart16550, counter, debugcon, exit, post, sleep, power, "
                      "pci-config, port92, port61, acpi-pm, i8042, rtc, fw_cfg, pvpanic, testdev, crtc, replay, remote)");
    check_usage_error("sleep,chardev=null", "device sleep has no option chardev (there are: port, mmio)");
    check_usage_error("exit,cod=exact", "device exit has no option cod (did you mean code?)");
    check_usage_error("exit,code=0", "device exit: code=0 is not one of: qemu, exact");
    check_usage_error(
        "post,port=0x10000",
        "device post: port=0x10000 is not a number from 0 to 0xffff (decimal, 0x hexadecimal, 0b binary or 0o octal)");
    check_usage_error("post,port=1,mmio=1", "device post: port and mmio exclude each other");
    BOOST_TEST(ports.devices().empty());
    BOOST_TEST(mmio.devices().empty());
}

BOOST_AUTO_TEST_CASE(a_device_in_ram_or_on_another_one_is_refused) {
    check_usage_error("post,mmio=0x7fffff8",
                      "device post: mmio=0x7fffff8 is in the guest's RAM (choose an address outside, such as 0xd0000000)");
    add("post,mmio=0x8000000");
    add("post");
    check_usage_error("sleep,port=0x80", "cannot attach sleep at port 0x80: post is already at port 0x80");
}

BOOST_AUTO_TEST_CASE(a_request_takes_the_place_of_the_default_of_its_kind) {
    const std::vector<std::string> defaults{"counter", "debugcon", "exit", "post", "sleep", "power", "pci-config", "port92"};
    BOOST_TEST(names(plan_devices({}, true)) == defaults, boost::test_tools::per_element());
    BOOST_TEST(plan_devices({}, false).empty());

    const auto plan = plan_devices({parse_device_request("exit,code=exact"), parse_device_request("uart16550"),
                                    parse_device_request("exit,port=0x600")},
                                   true);
    const std::vector<std::string> expected{"counter",    "debugcon", "post", "sleep",     "power",
                                            "pci-config", "port92",   "exit", "uart16550", "exit"};
    BOOST_TEST(names(plan) == expected, boost::test_tools::per_element());
    BOOST_TEST(plan[7].options[0].second == "exact");
    BOOST_TEST(plan[9].options[0].second == "0x600");
    BOOST_TEST(plan_devices({parse_device_request("post")}, false).size() == 1u);
}

BOOST_AUTO_TEST_CASE(help_has_a_line_for_each_device_with_its_keys) {
    const auto text = device_help();
    for (const auto* const each : device_kinds()) {
        const DeviceKind& kind = *each;
        const auto line_start = text.find(fmt::format("\n{} {} ", kind.by_default ? '*' : ' ', kind.name)) + 1;
        BOOST_REQUIRE(line_start != 0u);
        const auto line = text.substr(line_start, text.find('\n', line_start) - line_start);
        BOOST_TEST(line.find(kind.help) != std::string::npos);
        for (const auto& key : kind.keys) {
            BOOST_TEST(line.find(key.name) != std::string::npos);
            BOOST_TEST(device_help(kind.name).find(key.help) != std::string::npos);
        }
        const bool its_own = std::ranges::find(kind.keys, "port", &DeviceKey::name) != kind.keys.end();
        BOOST_TEST((line.find("port mmio") != std::string::npos) == (kind.movable || its_own), kind.name);
    }
    BOOST_CHECK_THROW((void)device_help("nvme"), Error);
}

BOOST_AUTO_TEST_CASE(any_device_is_recorded_where_the_options_want_it) {
    std::string folder = (std::filesystem::temp_directory_path() / "catalogue-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(folder.data()) != nullptr);
    const auto file = folder + "/recording";
    add("record=" + file + ",counter,port=0x20,chardev=null");
    BOOST_TEST(ports.device_name(0x20) == "counter");
    BOOST_TEST(!std::filesystem::exists(file));
    Surroundings around(loop);
    ports.devices().front()->attached(around.context());
    out(0x20, 2, 513);
    BOOST_TEST(chardevs["null"]->take() == "out port: 32, data: 513\n");
    const auto recorded = record::load(file);
    BOOST_TEST(recorded.header.places.front().range.first == 0x20u);
    BOOST_TEST(recorded.events.size() == 2u);
    // And the recording takes the counter's place, as a counter would.
    const auto plan = names(plan_devices({parse_device_request("replay=" + file)}, true));
    BOOST_TEST(std::ranges::count(plan, "counter") == 0);
    std::filesystem::remove_all(folder);
}

BOOST_AUTO_TEST_CASE(help_is_found_in_both_spellings) {
    BOOST_TEST(requested_help(parse_device_request("help")).value() == device_help());
    BOOST_TEST(requested_help(parse_device_request("exit,help")).value() == device_help("exit"));
    BOOST_TEST(!requested_help(parse_device_request("exit,code=exact")).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
