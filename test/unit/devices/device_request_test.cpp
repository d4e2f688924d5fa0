#define BOOST_TEST_MODULE device_request
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include "devices/device_request.hpp"
#include "text/suggest.hpp"

#include <array>

using namespace asyncvm;
using namespace std::string_view_literals;

namespace {

/// Whether `error` is a usage error that has `part` in its message.
auto usage_error_with(std::string part) {
    return [part = std::move(part)](const Error& error) {
        BOOST_TEST_CONTEXT(error.what()) {
            const bool found = std::string_view(error.what()).find(part) != std::string_view::npos;
            BOOST_TEST(found);
        }
        return error.kind() == ErrorKind::usage;
    };
}

DeviceRequest with(std::string key, std::string value) { return {"counter", {{std::move(key), std::move(value)}}}; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_request_is_a_name_and_options_in_order) {
    const auto request = parse_device_request("counter,port=0x20,chardev=file:a=b");
    BOOST_TEST(request.name == "counter");
    BOOST_REQUIRE(request.options.size() == 2u);
    BOOST_TEST(request.options[0].first == "port");
    BOOST_TEST(request.options[0].second == "0x20");
    BOOST_TEST(request.options[1].first == "chardev");
    BOOST_TEST(request.options[1].second == "file:a=b");
    BOOST_TEST(parse_device_request("post").options.empty());
    BOOST_TEST(parse_device_request("post,help").options[0].second.empty());
}

BOOST_AUTO_TEST_CASE(two_commas_are_one_in_a_value) {
    const auto request = parse_device_request("debugcon,chardev=tcp:5555,,wait,,telnet,port=1");
    BOOST_REQUIRE(request.options.size() == 2u);
    BOOST_TEST(request.options[0].second == "tcp:5555,wait,telnet");
    BOOST_TEST(request.options[1].first == "port");
}

BOOST_AUTO_TEST_CASE(missing_names_are_usage_errors) {
    for (const auto text : {""sv, ",port=1"sv}) {
        BOOST_CHECK_EXCEPTION((void)parse_device_request(text), Error, usage_error_with("device's name is missing"));
    }
    for (const auto text : {"post,"sv, "post,=on"sv, "post,trace=on,"sv}) {
        BOOST_CHECK_EXCEPTION((void)parse_device_request(text), Error, usage_error_with("option's name is missing"));
    }
}

BOOST_AUTO_TEST_CASE(numbers_are_as_everywhere_on_the_command_line_and_in_range) {
    BOOST_TEST(DeviceOptions(with("port", "16")).number("port", 0xffff).value() == 16u);
    BOOST_TEST(DeviceOptions(with("port", "0xFFff")).number("port", 0xffff).value() == 0xffffu);
    BOOST_TEST(DeviceOptions(with("port", "010")).number("port", 0xffff).value() == 10u);
    BOOST_TEST(DeviceOptions(with("port", "0b1")).number("port", 0xffff).value() == 1u);
    BOOST_TEST(DeviceOptions(with("port", "0o17")).number("port", 0xffff).value() == 15u);
    BOOST_TEST(!DeviceOptions(with("port", "1")).number("mmio", 0xffff).has_value());
    for (const auto text : {"", "0x", "-1", "+1", " 1", "1 ", "0x10000", "65536", "1k", "0x-1", "99999999999999999999"}) {
        const auto request = with("port", text);
        BOOST_CHECK_EXCEPTION((void)DeviceOptions(request).number("port", 0xffff), Error,
                              usage_error_with(std::string("counter: port=") + text + " is not a number from 0 to 0xffff"));
    }
}

BOOST_AUTO_TEST_CASE(a_choice_names_what_there_is) {
    constexpr std::array states{"off"sv, "on"sv};
    BOOST_TEST(DeviceOptions(with("trace", "on")).choice("trace", states) == 1u);
    BOOST_TEST(DeviceOptions(with("port", "1")).choice("trace", states) == 0u);
    const auto request = with("trace", "yes");
    BOOST_CHECK_EXCEPTION((void)DeviceOptions(request).choice("trace", states), Error,
                          usage_error_with("trace=yes is not one of: off, on"));
}

BOOST_AUTO_TEST_CASE(unknown_and_repeated_keys_are_usage_errors) {
    constexpr std::array known{"port"sv, "mmio"sv};
    const auto misspelt = with("prot", "1");
    BOOST_CHECK_EXCEPTION(DeviceOptions(misspelt).check_keys(known), Error,
                          usage_error_with("counter has no option prot (did you mean port?)"));
    const auto repeated = parse_device_request("counter,port=1,port=2");
    BOOST_CHECK_EXCEPTION(DeviceOptions(repeated).check_keys(known), Error, usage_error_with("port is given twice"));
    DeviceOptions(with("mmio", "1")).check_keys(known);
}

BOOST_AUTO_TEST_CASE(near_words_are_suggested_and_far_ones_are_not) {
    constexpr std::array words{"uart16550"sv, "counter"sv, "debugcon"sv, "exit"sv};
    BOOST_TEST(nearest("conter", words) == "counter");
    BOOST_TEST(nearest("exti", words) == "exit");
    BOOST_TEST(nearest("uart", words) == "uart16550");
    BOOST_TEST(nearest("debug", words) == "debugcon");
    BOOST_TEST(nearest("keyboard", words).empty());
    BOOST_TEST(nearest("", words).empty());
    BOOST_TEST(nearest(std::string(100'000, 'e'), words).empty());
    BOOST_TEST(suggestion("keyboard", words) == " (there are: uart16550, counter, debugcon, exit)");
}
