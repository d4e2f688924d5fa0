#define BOOST_TEST_MODULE chardev_telnet
#include <chardev/stdio.hpp>
#include <chardev/telnet.hpp>

#include <boost/test/unit_test.hpp>

#include <initializer_list>
#include <string>

using namespace asyncvm;

namespace {

constexpr int iac = 255, dont = 254, do_ = 253, wont = 252, will = 251, sb = 250, ayt = 246, line_break = 243, nop = 241,
              se = 240;

std::vector<std::byte> bytes(std::initializer_list<int> values) {
    std::vector<std::byte> result;
    for (const int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
}

struct Exchange : Telnet::Decoded {
    Telnet telnet;

    Exchange() { (void)telnet.greeting(); }
    void send(std::initializer_list<int> values) { telnet.decode(bytes(values), *this); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_greeting_offers_what_a_terminal_needs) {
    Telnet telnet;
    BOOST_TEST((telnet.greeting() == bytes({iac, will, 1, iac, will, 3, iac, will, 0, iac, do_, 0, iac, do_, 31})));
}

BOOST_AUTO_TEST_CASE(agreement_is_not_answered) {
    Exchange e;
    e.send({iac, do_, 1, iac, do_, 3, iac, do_, 0, iac, will, 0});
    BOOST_TEST(e.data.empty());
    BOOST_TEST(e.reply.empty());
}

BOOST_AUTO_TEST_CASE(unknown_options_are_refused) {
    Exchange e;
    e.send({iac, do_, 24, iac, will, 39});
    BOOST_TEST((e.reply == bytes({iac, wont, 24, iac, dont, 39})));
}

BOOST_AUTO_TEST_CASE(an_option_can_be_turned_off_and_on) {
    Exchange e;
    e.send({iac, dont, 1});
    BOOST_TEST((e.reply == bytes({iac, wont, 1})));
    e.reply.clear();
    e.send({iac, dont, 1});
    BOOST_TEST(e.reply.empty());
    e.send({iac, do_, 1});
    BOOST_TEST((e.reply == bytes({iac, will, 1})));
    e.reply.clear();
    e.send({iac, will, 3});
    BOOST_TEST((e.reply == bytes({iac, do_, 3})));
}

BOOST_AUTO_TEST_CASE(commands_are_taken_out_of_the_input) {
    Exchange e;
    e.send({'a', iac, nop, 'b', iac, iac, 'c', iac, ayt, 'd'});
    BOOST_TEST((e.data == bytes({'a', 'b', 255, 'c', 'd'})));
    BOOST_TEST(!e.reply.empty());
}

BOOST_AUTO_TEST_CASE(a_break_has_a_place_in_the_data) {
    Exchange e;
    e.send({iac, line_break, 'a', 'b', iac});
    e.send({line_break, iac, line_break, 'c'});
    BOOST_TEST((e.data == bytes({'a', 'b', 'c'})));
    BOOST_TEST((e.breaks == std::vector<std::size_t>{0, 2, 2}));
    BOOST_TEST(e.reply.empty());
}

BOOST_AUTO_TEST_CASE(a_subnegotiation_vanishes_wherever_it_is_cut) {
    const auto input = bytes({'a', iac, sb, 31, 0, iac, iac, 0, 24, iac, se, 'b', iac, will, 39, 'c'});
    for (std::size_t cut = 0; cut <= input.size(); ++cut) {
        Exchange e;
        e.telnet.decode(std::span(input).first(cut), e);
        e.telnet.decode(std::span(input).subspan(cut), e);
        BOOST_TEST((e.data == bytes({'a', 'b', 'c'})));
        BOOST_TEST((e.reply == bytes({iac, dont, 39})));
        BOOST_REQUIRE(e.size.has_value());
        BOOST_TEST((*e.size == TerminalSize{.columns = 255, .rows = 24}));
    }
}

BOOST_AUTO_TEST_CASE(a_client_says_the_size_of_its_window) {
    Exchange e;
    e.send({iac, will, 31, iac, sb, 31, 0, 132, 0, 43, iac, se});
    BOOST_TEST(e.reply.empty());
    BOOST_REQUIRE(e.size.has_value());
    BOOST_TEST((*e.size == TerminalSize{.columns = 132, .rows = 43}));
    // Neither 0, nor what is too short or too long, nor another option's words, are a size.
    for (const auto& other : {bytes({iac, sb, 31, 0, 0, 0, 43, iac, se}), bytes({iac, sb, 31, 0, 80, 0, iac, se}),
                              bytes({iac, sb, 31, 0, 80, 0, 25, 0, iac, se}), bytes({iac, sb, 24, 0, 80, 0, 25, iac, se})}) {
        e.size.reset();
        e.telnet.decode(other, e);
        BOOST_TEST(!e.size.has_value());
    }
}

BOOST_AUTO_TEST_CASE(cr_nul_is_cr_until_the_client_agrees_to_binary) {
    Exchange e;
    e.send({'a', '\r'});
    e.send({0, 'b', '\r', '\n', '\r', iac, iac});
    BOOST_TEST((e.data == bytes({'a', '\r', 'b', '\r', '\n', '\r', 255})));
    e.data.clear();
    e.send({iac, will, 0, '\r', 0});
    BOOST_TEST((e.data == bytes({'\r', 0})));
}

BOOST_AUTO_TEST_CASE(acknowledged_wire_bytes_are_mapped_to_the_guests) {
    WireMap map(1000);
    map.inserted(12);  // the greeting
    map.plain(5);
    map.doubled(2);
    map.plain(1);
    map.inserted(3);
    map.plain(4);
    BOOST_TEST(map.sent() == 29u);
    BOOST_TEST(map.position() == 1012u);
    BOOST_TEST(map.acknowledge(0) == 1000u);
    BOOST_TEST(map.acknowledge(11) == 1000u);
    BOOST_TEST(map.acknowledge(12) == 1000u);
    BOOST_TEST(map.acknowledge(15) == 1003u);
    BOOST_TEST(map.acknowledge(17) == 1005u);
    BOOST_TEST(map.acknowledge(18) == 1005u);  // half of a doubled byte
    BOOST_TEST(map.acknowledge(19) == 1006u);
    BOOST_TEST(map.acknowledge(20) == 1006u);
    BOOST_TEST(map.acknowledge(22) == 1008u);
    BOOST_TEST(map.acknowledge(24) == 1008u);
    BOOST_TEST(map.acknowledge(26) == 1009u);
    BOOST_TEST(map.acknowledge(29) == 1012u);
}

BOOST_AUTO_TEST_CASE(bytes_that_were_skipped_count_as_soon_as_those_before_have_arrived) {
    WireMap map(0);
    map.plain(10);
    map.skipped(100);
    map.plain(10);
    BOOST_TEST(map.acknowledge(9) == 9u);
    BOOST_TEST(map.acknowledge(10) == 110u);
    BOOST_TEST(map.acknowledge(20) == 120u);
}

BOOST_AUTO_TEST_CASE(ctrl_a_speaks_to_the_monitor) {
    Escape escape;
    std::string to_guest;
    std::string actions;
    for (const char c : std::string("a\x01\x01"
                                    "b\x01x\x01h\x01"
                                    "c\x01"
                                    "b\x01"
                                    "ac\x01zd")) {
        auto action = Escape::Action::none;
        if (const auto byte = escape.take(static_cast<std::byte>(c), action)) to_guest += static_cast<char>(*byte);
        if (action == Escape::Action::quit) actions += 'q';
        if (action == Escape::Action::help) actions += 'h';
        if (action == Escape::Action::line_break) actions += 'b';
    }
    BOOST_TEST(to_guest ==
               "a\x01"
               "b\x01"
               "cd");
    BOOST_TEST(actions == "qhhb");
}
