#define BOOST_TEST_MODULE small_devices
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "fake_chardev.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

using namespace asyncvm;

namespace {

struct Fixture : DeviceRunner {
    std::shared_ptr<FakeChardev> output = std::make_shared<FakeChardev>();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(counter, Fixture)

BOOST_AUTO_TEST_CASE(each_write_is_a_line_whatever_its_width) {
    const auto made = make_counter(output);
    Device& device = *made;
    write(device, make_access(16, 1, 0));
    write(device, make_access(16, 2, 65535));
    write(device, make_access(16, 4, 0xffff'ffff));
    BOOST_TEST(output->take() == "out port: 16, data: 0\nout port: 16, data: 65535\nout port: 16, data: 4294967295\n");
}

BOOST_AUTO_TEST_CASE(the_longest_line_fits) {
    const auto made = make_counter(output);
    Device& device = *made;
    Access access = make_access(~std::uint64_t{0}, 8, ~std::uint64_t{0});
    access.space = Space::memory;
    write(device, access);
    BOOST_TEST(output->take() == "out address: 18446744073709551615, data: 18446744073709551615\n");
}

BOOST_AUTO_TEST_CASE(a_string_is_a_line_for_each_element) {
    const auto made = make_counter(output);
    Device& device = *made;
    std::array<std::uint16_t, 100> elements{};
    std::string expected;
    for (unsigned i = 0; i < elements.size(); ++i) {
        elements[i] = static_cast<std::uint16_t>(i * 650);
        expected += "out port: 16, data: " + std::to_string(i * 650) + "\n";
    }
    const Access access = make_access(16, 2);
    start(device.write_string(access, std::as_bytes(std::span(elements))));
    poll();
    BOOST_TEST(done());
    BOOST_TEST(output->take() == expected);
}

BOOST_AUTO_TEST_CASE(the_longest_lines_of_a_string_fit) {
    const auto made = make_counter(output);
    Device& device = *made;
    std::array<std::uint64_t, 20> elements{};
    elements.fill(~std::uint64_t{0});
    Access access = make_access(~std::uint64_t{0}, 8);
    access.space = Space::memory;
    start(device.write_string(access, std::as_bytes(std::span(elements))));
    poll();
    std::string expected;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        expected += "out address: 18446744073709551615, data: 18446744073709551615\n";
    }
    BOOST_TEST(output->take() == expected);
}

BOOST_AUTO_TEST_CASE(a_full_queue_makes_a_string_wait_and_loses_nothing) {
    const auto narrow = std::make_shared<FakeChardev>(8);
    const auto made = make_counter(narrow);
    Device& device = *made;
    const std::array<std::byte, 3> elements{};
    const Access access = make_access(16, 1);
    start(device.write_string(access, elements));
    std::string taken;
    for (int i = 0; i < 20 && !done(); ++i) {
        poll();
        taken += narrow->take();
    }
    BOOST_TEST(done());
    BOOST_TEST(taken + narrow->take() == "out port: 16, data: 0\nout port: 16, data: 0\nout port: 16, data: 0\n");
}

BOOST_AUTO_TEST_CASE(reads_count_from_0_and_wrap_by_width) {
    const auto made = make_counter(output);
    Device& device = *made;
    for (std::uint64_t i = 0; i < 256; ++i) BOOST_REQUIRE(read(device, make_access(16, 1)) == i);
    BOOST_TEST(read(device, make_access(16, 1)) == 0u);
    BOOST_TEST(read(device, make_access(16, 2)) == 257u);
    device.reset();
    BOOST_TEST(read(device, make_access(16, 4)) == 0u);
    BOOST_TEST(output->take().empty());
}

BOOST_AUTO_TEST_CASE(a_full_queue_makes_the_guest_wait_and_loses_nothing) {
    const auto narrow = std::make_shared<FakeChardev>(8);
    const auto made = make_counter(narrow);
    Device& device = *made;
    const Access access = make_access(16, 1, 7);
    start(device.write(access));
    poll();
    BOOST_TEST(!done());
    std::string taken;
    for (int i = 0; i < 10 && !done(); ++i) {
        taken += narrow->take();
        poll();
    }
    BOOST_TEST(done());
    BOOST_TEST(taken + narrow->take() == "out port: 16, data: 7\n");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(debug_console, Fixture)

BOOST_AUTO_TEST_CASE(a_wide_write_is_its_bytes_lowest_first) {
    const auto made = make_debug_console(output);
    Device& device = *made;
    write(device, make_access(0xe9, 1, 'H'));
    write(device, make_access(0xe9, 2, 0x6c65));
    write(device, make_access(0xe9, 4, 0x0a21'6f6c));
    BOOST_TEST(output->take() == "Hello!\n");
}

BOOST_AUTO_TEST_CASE(a_string_is_one_write) {
    const auto made = make_debug_console(output);
    Device& device = *made;
    const std::string text = "strings";
    const auto bytes = std::as_bytes(std::span(text));
    const Access first = make_access(0xe9, 1);
    finish(device.write_string(first, bytes));
    BOOST_TEST(output->take() == text);
    BOOST_TEST(output->write_calls() == 1u);
}

BOOST_AUTO_TEST_CASE(each_byte_reads_e9) {
    const auto made = make_debug_console(output);
    Device& device = *made;
    BOOST_TEST(read(device, make_access(0xe9, 1)) == 0xe9u);
    BOOST_TEST(read(device, make_access(0x402, 2)) == 0xe9e9u);
    BOOST_TEST(read(device, make_access(0xf1, 4)) == 0xe9e9'e9e9u);
}

BOOST_AUTO_TEST_CASE(a_full_queue_makes_the_guest_wait_and_loses_nothing) {
    const auto narrow = std::make_shared<FakeChardev>(2);
    const auto made = make_debug_console(narrow);
    Device& device = *made;
    const Access access = make_access(0xe9, 4, 0x6463'6261);
    start(device.write(access));
    poll();
    BOOST_TEST(!done());
    std::string taken = narrow->take();
    poll();
    BOOST_TEST(done());
    taken += narrow->take();
    BOOST_TEST(taken == "abcd");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(exit_port, Fixture)

BOOST_AUTO_TEST_CASE(codes_are_as_qemus_or_exact) {
    struct Case {
        ExitCoding coding;
        std::uint64_t value;
        int code;
    };
    for (const auto& [coding, value, code] :
         {Case{ExitCoding::qemu, 0, 1}, Case{ExitCoding::qemu, 21, 43}, Case{ExitCoding::qemu, 0xffff'ffff, 0xff},
          Case{ExitCoding::exact, 0, 0}, Case{ExitCoding::exact, 0x1234, 0x34}}) {
        std::vector<int> codes;
        const auto device =
            make_exit_port([&codes](const Outcome& outcome) { codes.push_back(outcome.guest_code); }, coding);
        write(*device, make_access(0xf4, 4, value));
        BOOST_TEST(codes == std::vector<int>{code}, boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(a_write_finishes_the_machine_and_a_read_does_not) {
    std::vector<Outcome> outcomes;
    const auto made = make_exit_port([&outcomes](Outcome outcome) { outcomes.push_back(std::move(outcome)); });
    Device& device = *made;
    BOOST_TEST(read(device, make_access(0xf4, 1, 0xff)) == 0u);
    BOOST_TEST(outcomes.empty());
    write(device, make_access(0xf4, 4, 21));
    BOOST_REQUIRE(outcomes.size() == 1u);
    BOOST_TEST((outcomes[0].kind == Outcome::Kind::exited));
    BOOST_TEST(outcomes[0].guest_code == 43);
    BOOST_TEST(outcomes[0].summary == "the guest wrote 21 to the exit port 0xf4: exit code 43");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(post_port, Fixture)

BOOST_AUTO_TEST_CASE(the_last_code_is_remembered_until_reset) {
    const auto made = make_post_port();
    Device& device = *made;
    BOOST_TEST(read(device, make_access(0x80, 1)) == 0u);
    write(device, make_access(0x80, 1, 0x41));
    write(device, make_access(0x80, 2, 0xcafe));
    BOOST_TEST(read(device, make_access(0x80, 2)) == 0xcafeu);
    device.reset();
    BOOST_TEST(read(device, make_access(0x80, 2)) == 0u);
}

BOOST_AUTO_TEST_CASE(a_trace_tells_each_change_once) {
    std::vector<std::string> lines;
    const auto made = make_post_port([&lines](std::string_view line) { lines.emplace_back(line); });
    Device& device = *made;
    for (const unsigned code : {0x1u, 0x1u, 0x41u, 0x1u}) write(device, make_access(0x80, 1, code));
    const std::vector<std::string> expected{"POST code 0x01", "POST code 0x41", "POST code 0x01"};
    BOOST_TEST(lines == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(crtc, Fixture)

BOOST_AUTO_TEST_CASE(the_cursor_s_place_reads_back_until_reset) {
    const auto made = make_crtc();
    Device& device = *made;
    const auto at = [](unsigned offset, unsigned value = 0) {
        Access access = make_access(0x3d4 + offset, 1, value);
        access.offset = offset;
        return access;
    };
    const auto get = [&](unsigned index) {
        write(device, at(0, index));
        return read(device, at(1));
    };
    BOOST_TEST(get(0x0e) == 0u);
    write(device, at(1, 0x07));
    write(device, at(0, 0x0f));
    write(device, at(1, 0xd0));
    BOOST_TEST(read(device, at(0)) == 0x0fu);
    BOOST_TEST(get(0x0e) == 0x07u);
    BOOST_TEST(get(0x0f) == 0xd0u);
    device.reset();
    BOOST_TEST(get(0x0e) == 0u);
    BOOST_TEST(get(0x0f) == 0u);
}

BOOST_AUTO_TEST_CASE(there_are_registers_up_to_the_line_compare) {
    const auto made = make_crtc();
    Device& device = *made;
    for (const unsigned index : {0x18u, 0x19u, 0xffu}) {
        Access access = make_access(0x3d4, 1, index);
        write(device, access);
        access.offset = 1;
        access.data = 0x5a;
        write(device, access);
        BOOST_TEST(read(device, access) == (index == 0x18 ? 0x5au : 0u));
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(sleep_port, Fixture)

BOOST_AUTO_TEST_CASE(a_write_takes_as_long_as_it_says) {
    asio::io_context loop;
    Surroundings surroundings(loop);
    const auto device = make_sleep_port();
    device->attached(surroundings.context());
    const Access access = make_access(0xf2, 2, 20'000);
    start(device->write(access));
    poll();
    surroundings.clock.advance(std::chrono::microseconds(19'999));
    poll();
    BOOST_TEST(!done());
    surroundings.clock.advance(std::chrono::microseconds(1));
    poll();
    BOOST_TEST(done());
    BOOST_TEST(!failed());
    BOOST_TEST(read(*device, make_access(0xf2, 1, 0xff)) == 0u);
}

BOOST_AUTO_TEST_CASE(the_longest_sleep_can_be_cancelled) {
    asio::io_context loop;
    Surroundings surroundings(loop);
    const auto device = make_sleep_port();
    device->attached(surroundings.context());
    const Access access = make_access(0xf2, 4, 0xffff'ffff);
    start(device->write(access));
    poll();
    BOOST_TEST(!done());
    cancel();
    poll();
    BOOST_TEST(done());
    BOOST_TEST(failed());
}

BOOST_AUTO_TEST_SUITE_END()
