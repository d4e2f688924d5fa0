// What a device may say when, and what becomes of it.
#include <boost/test/unit_test.hpp>

#include <cerrno>

#include "stream.hpp"

using namespace asyncvm::remote;
using namespace asyncvm::remote::test;

namespace {
constexpr RegionAccess byte_access{.offset = 3, .region = 0, .width = 1, .count = 1};
}

BOOST_AUTO_TEST_CASE(what_the_monitor_says_are_the_bytes_of_the_page) {
    Monitor monitor(memory_read, 1);
    (void)monitor.session.greet(monitor.out);
    BOOST_TEST(hex(monitor.out) ==
               "0000010050000000"
               "0000000000000000"
               "0100000001000000"
               "0010000001000200"
               "0003000000000000"
               "0800000000000000"
               "0000000000000000"
               "000000d000000000"
               "0010000000000000"
               "0100000000000000");
    monitor.give(Device{}.version_reply());
    BOOST_TEST((monitor.next().kind == Said::Kind::reply));
    BOOST_TEST(monitor.session.agreement().name == "dev");
    monitor.out.clear();
    (void)monitor.session.read(monitor.out, byte_access);
    BOOST_TEST(hex(monitor.out) ==
               "01000900200000000000000000000000"
               "03000000000000000000010001000000");
    monitor.out.clear();
    const Bytes data{std::byte{0x41}};
    (void)monitor.session.write(monitor.out, byte_access, data, false);
    BOOST_TEST(hex(monitor.out) ==
               "02000a00210000000000000000000000"
               "03000000000000000000010001000000"
               "41");
    monitor.out.clear();
    (void)monitor.session.write(monitor.out, byte_access, data, true);
    BOOST_TEST(hex(monitor.out).substr(0, 32) == "03000a00210000001000000000000000");
    monitor.out.clear();
    (void)monitor.session.map_memory(monitor.out, 0x1000, 0x10'0000, 0x2000);
    BOOST_TEST(hex(monitor.out) ==
               "04000200300000000000000000000000"
               "2000000003000000"
               "0010000000000000"
               "0000100000000000"
               "0020000000000000");
    monitor.out.clear();
    (void)monitor.session.reset(monitor.out);
    BOOST_TEST(hex(monitor.out) == "05000d00100000000000000000000000");
}

BOOST_AUTO_TEST_CASE(a_device_that_does_not_fit_is_told_why) {
    const auto end_with = [](const Device& device) {
        Monitor monitor(memory_read);
        monitor.agree(device);
        BOOST_TEST(monitor.session.agreed() == monitor.session.broken().empty());
        return monitor.session.broken();
    };
    BOOST_TEST(end_with({}) == "");
    BOOST_TEST(end_with({.major = 2}) == "it speaks version 2.0 of the protocol, and 1.0 is there");
    BOOST_TEST(end_with({.minor = 1}) == "it speaks version 1.1 of the protocol, and 1.0 is there");
    BOOST_TEST(end_with({.capabilities = 2}) == "it takes capabilities 0x2, and 0x1 are offered");
    BOOST_TEST(end_with({.max_data = 16}) == "");
    BOOST_TEST(end_with({.max_data = 15}) == "it says max_data 15, and 16 to 4096 are allowed");
    BOOST_TEST(end_with({.max_data = 4097}) == "it says max_data 4097, and 16 to 4096 are allowed");
    BOOST_TEST(end_with({.max_requests = 0}) == "it says max_requests 0, and 1 to 256 are allowed");
    BOOST_TEST(end_with({.max_requests = 257}) == "it says max_requests 257, and 1 to 256 are allowed");
    BOOST_TEST(end_with({.name = ""}) == "its reply to VERSION has 16 bytes of payload, and 17 to 80 are allowed");
    BOOST_TEST(end_with({.name = std::string(64, 'x')}) == "");
    BOOST_TEST(end_with({.name = std::string(65, 'x')}) == "it sends a frame of 97 bytes, and 16 to 96 are allowed");
    Monitor early;
    (void)early.session.greet(early.out);
    BOOST_TEST(early.end_after(set_irq(1, 0, 1)) == "it sends SET_IRQ before it has answered VERSION");
    Monitor refusing;
    (void)refusing.session.greet(refusing.out);
    BOOST_TEST(refusing.end_after(frame(0, Command::version, type_reply | flag_error)) == "it refuses VERSION with error 0");
}

BOOST_AUTO_TEST_CASE(replies_come_in_any_order_and_no_more_is_asked_than_the_device_takes) {
    Monitor monitor;
    monitor.agree();
    const auto first = monitor.session.read(monitor.out, byte_access);
    BOOST_TEST(monitor.session.may_ask());
    const auto second = monitor.session.read(monitor.out, byte_access);
    BOOST_TEST(!monitor.session.may_ask());
    monitor.give(access_reply(second, Command::region_read, byte_access, "B"));
    monitor.give(access_reply(first, Command::region_read, byte_access, "A"));
    BOOST_TEST(monitor.next().id == second);
    BOOST_TEST(hex(monitor.last.data) == "42");
    BOOST_TEST(monitor.session.may_ask());
    BOOST_TEST(monitor.next().id == first);
    BOOST_TEST(hex(monitor.last.data) == "41");
    BOOST_TEST((monitor.next().kind == Said::Kind::nothing));
    BOOST_TEST(monitor.session.broken() == "");
}

BOOST_AUTO_TEST_CASE(a_reply_that_is_none_ends_the_connection) {
    const auto end_after = [](const auto& reply_to) {
        Monitor monitor;
        monitor.agree();
        const auto id = monitor.session.read(monitor.out, byte_access);
        return monitor.end_after(reply_to(id));
    };
    BOOST_TEST(end_after([](auto id) { return access_reply(id, Command::region_read, byte_access, "A"); }) == "");
    BOOST_TEST(end_after([](auto id) {
                   return access_reply(static_cast<std::uint16_t>(id + 1), Command::region_read, byte_access, "A");
               }) == "it replies to REGION_READ with id 2, which has not been sent");
    BOOST_TEST(end_after([](auto id) { return access_reply(id, Command::region_write, byte_access); }) ==
               "it replies to REGION_READ with REGION_WRITE");
    BOOST_TEST(end_after([](auto id) { return access_reply(id, Command::region_read, byte_access, "AB"); }) ==
               "its reply to REGION_READ has 18 bytes of payload in place of 17");
    BOOST_TEST(end_after([](auto id) {
                   auto other = byte_access;
                   other.offset = 4;
                   return access_reply(id, Command::region_read, other, "A");
               }) == "its reply to REGION_READ is for another access: its first 16 bytes differ from the command's");
    for (const RegionAccess& other : {RegionAccess{.offset = 3, .region = 1, .width = 1, .count = 1},
                                      RegionAccess{.offset = 3, .region = 0, .width = 2, .count = 1},
                                      RegionAccess{.offset = 3, .region = 0, .width = 1, .count = 2}}) {
        BOOST_TEST(end_after([&](auto id) { return access_reply(id, Command::region_read, other, "A"); }) != "");
    }
    Monitor twice;
    twice.agree();
    const auto id = twice.session.write(twice.out, byte_access, Bytes(1), false);
    const auto reply = access_reply(id, Command::region_write, byte_access);
    BOOST_TEST(twice.end_after(reply) == "");
    BOOST_TEST(twice.end_after(reply) == "it replies to REGION_WRITE with id 1, which has not been sent");
}

BOOST_AUTO_TEST_CASE(an_access_may_be_refused_and_what_keeps_the_connection_not) {
    Monitor monitor;
    monitor.agree();
    const auto id = monitor.session.read(monitor.out, byte_access);
    Bytes refusal;
    append_header(refusal, id, Command::region_read, 0, type_reply | flag_error, EINVAL);
    monitor.give(refusal);
    BOOST_TEST((monitor.next().kind == Said::Kind::reply));
    BOOST_TEST(monitor.last.error == static_cast<unsigned>(EINVAL));
    // An error that has no number is one all the same.
    const auto nameless = monitor.session.read(monitor.out, byte_access);
    monitor.give(frame(nameless, Command::region_read, type_reply | flag_error));
    BOOST_TEST(monitor.next().error == static_cast<unsigned>(EIO));
    const auto reset = monitor.session.reset(monitor.out);
    BOOST_TEST(monitor.end_after(frame(reset, Command::device_reset, type_reply | flag_error)) ==
               "it refuses DEVICE_RESET with error 0");
}

BOOST_AUTO_TEST_CASE(a_late_reply_is_dropped_and_a_mute_device_is_given_up) {
    Monitor monitor;
    monitor.agree();
    const auto late = monitor.session.read(monitor.out, byte_access);
    monitor.session.forget(late, true);
    // It still counts: the device has it.
    (void)monitor.session.read(monitor.out, byte_access);
    BOOST_TEST(!monitor.session.may_ask());
    BOOST_TEST(monitor.end_after(access_reply(late, Command::region_read, byte_access, "A")) == "");
    BOOST_TEST((monitor.last.kind == Said::Kind::nothing));
    BOOST_TEST(monitor.session.may_ask());
    // The count begins again with each reply.
    for (unsigned i = 0; i + 1 < Session::most_late; ++i) monitor.session.note_late();
    BOOST_TEST(monitor.session.broken() == "");
    monitor.session.note_late();
    BOOST_TEST(monitor.session.broken() == "64 accesses in a row got no answer");

    Monitor generous;
    generous.agree({.max_requests = 256});
    for (unsigned i = 0; i <= Session::most_late; ++i) {
        BOOST_TEST(generous.session.broken() == "");
        generous.session.forget(generous.session.read(generous.out, byte_access), false);
    }
    BOOST_TEST(generous.session.broken() == "it has not answered 64 accesses");

    Monitor late_ones;
    late_ones.agree({.max_requests = 256});
    for (unsigned i = 0; i < Session::most_late; ++i) {
        BOOST_TEST(late_ones.session.broken() == "");
        late_ones.session.forget(late_ones.session.read(late_ones.out, byte_access), true);
    }
    // The first reason stays.
    late_ones.session.forget(late_ones.session.read(late_ones.out, byte_access), false);
    BOOST_TEST(late_ones.session.broken() == "64 accesses in a row got no answer");
}

BOOST_AUTO_TEST_CASE(a_frame_is_as_long_as_its_data_or_a_line_of_text) {
    const auto line = [](std::size_t length) {
        return frame(5, Command::log, type_command, [length](Bytes& to) {
            append(to, std::uint32_t{0});
            to.resize(to.size() + length, std::byte{'x'});
        });
    };
    Monitor little;
    little.agree({.max_data = 16});
    BOOST_TEST(little.end_after(line(1024)) == "");
    BOOST_TEST((little.last.kind == Said::Kind::log));
    BOOST_TEST(little.end_after(line(1025)) == "it sends a frame of 1045 bytes, and 16 to 1044 are allowed");
    Monitor much;
    much.agree();
    BOOST_TEST(much.answer_to(line(1025)) != "");
    BOOST_TEST((much.last.kind == Said::Kind::nothing));
    const RegionAccess string{.offset = 4, .region = 0, .width = 1, .count = 4096};
    const auto id = much.session.read(much.out, string);
    BOOST_TEST(much.end_after(access_reply(id, Command::region_read, string, std::string(4096, 's'))) == "");
    BOOST_TEST(much.last.data.size() == 4096u);
}

BOOST_AUTO_TEST_CASE(what_a_device_asks_is_looked_at_before_it_is_done) {
    Monitor monitor;
    monitor.agree({.capabilities = memory_read});
    const auto refusal = [](unsigned id, unsigned command, unsigned error) {
        Bytes bytes;
        append_header(bytes, static_cast<std::uint16_t>(id), static_cast<Command>(command), 0, type_reply | flag_error,
                      error);
        return hex(bytes);
    };
    BOOST_TEST(monitor.answer_to(dma(7, Command::dma_read, 0x1000, 16)) == "");
    BOOST_TEST((monitor.last.kind == Said::Kind::memory_read));
    BOOST_TEST(monitor.last.address == 0x1000u);
    BOOST_TEST(monitor.last.count == 16u);
    BOOST_TEST(monitor.answer_to(dma(8, Command::dma_read, 0x1000, 0)) == refusal(8, 11, EINVAL));
    BOOST_TEST(monitor.answer_to(dma(8, Command::dma_read, 0x1000, 4097)) == refusal(8, 11, EINVAL));
    BOOST_TEST(monitor.answer_to(dma(8, Command::dma_read, 0x1000, 16, 1)) == refusal(8, 11, EINVAL));
    BOOST_TEST(monitor.answer_to(dma(9, Command::dma_write, 0x1000, 4, 4)) == refusal(9, 12, EACCES));
    BOOST_TEST(monitor.answer_to(dma(9, Command::dma_write, 0x1000, 4, 3)) == refusal(9, 12, EINVAL));
    BOOST_TEST(monitor.answer_to(set_irq(1, 2, 1, type_command)) == refusal(1, 0x8001, EINVAL));
    BOOST_TEST(monitor.answer_to(set_irq(1, 1, 2, type_command)) == refusal(1, 0x8001, EINVAL));
    BOOST_TEST(monitor.answer_to(set_irq(1, 2, 1)) == "");  // nobody wants to know
    BOOST_TEST((monitor.last.kind == Said::Kind::nothing));
    BOOST_TEST(monitor.answer_to(set_irq(1, 1, 1)) == "");
    BOOST_TEST((monitor.last.kind == Said::Kind::interrupt));
    BOOST_TEST(monitor.answer_to(frame(3, static_cast<Command>(77), type_command)) == refusal(3, 77, ENOTSUP));
    BOOST_TEST(monitor.answer_to(frame(3, Command::region_read, type_command)) == refusal(3, 9, ENOTSUP));
    BOOST_TEST(monitor.answer_to(frame(4, Command::log, type_command)) == refusal(4, 0x8002, EINVAL));
    BOOST_TEST(monitor.session.broken() == "");
}

BOOST_AUTO_TEST_CASE(what_would_change_the_guest_waits_and_nothing_overtakes_it) {
    Monitor monitor;
    monitor.agree();
    const auto id = monitor.session.read(monitor.out, byte_access);
    monitor.give(set_irq(0, 1, 1));
    monitor.give(access_reply(id, Command::region_read, byte_access, "A"));
    BOOST_TEST((monitor.next(true).kind == Said::Kind::held));
    BOOST_TEST((monitor.next(true).kind == Said::Kind::held));
    BOOST_TEST((monitor.next(false).kind == Said::Kind::interrupt));
    BOOST_TEST((monitor.next(true).kind == Said::Kind::reply));
    for (const auto command : {Command::dma_read, Command::dma_write}) {
        monitor.give(dma(9, command, 0x1000, 4, command == Command::dma_write ? 4 : 0));
        BOOST_TEST((monitor.next(true).kind == Said::Kind::held));
        BOOST_TEST((monitor.next(false).kind != Said::Kind::held));
    }
}

BOOST_AUTO_TEST_CASE(until_a_reset_is_answered_the_device_changes_nothing) {
    Monitor monitor;
    monitor.agree({.capabilities = memory_read | memory_write});
    const auto id = monitor.session.reset(monitor.out);
    monitor.out.clear();
    // Also while the machine stands, which it does in a reset.
    monitor.give(set_irq(1, 1, 1));
    monitor.give(set_irq(2, 1, 1, type_command));
    monitor.give(dma(3, Command::dma_write, 0, 1, 1));
    BOOST_TEST((monitor.next(true).kind == Said::Kind::nothing));
    BOOST_TEST(hex(monitor.out) ==
               "02000180100000000100000000000000"
               "03000c00100000002100000010000000");
    monitor.give(frame(id, Command::device_reset, type_reply));
    monitor.give(set_irq(1, 1, 1));
    BOOST_TEST((monitor.next(true).kind == Said::Kind::reply));
    BOOST_TEST((monitor.next(true).kind == Said::Kind::held));
}

BOOST_AUTO_TEST_CASE(ids_in_use_are_not_given_again) {
    Monitor monitor;
    monitor.agree();
    const auto kept = monitor.session.read(monitor.out, byte_access);
    for (unsigned i = 0; i < 70'000; ++i) {
        monitor.out.clear();
        const auto id = monitor.session.write(monitor.out, byte_access, Bytes(1), true);
        if (id == kept) BOOST_FAIL("id " << id << " is under way already");
    }
}
