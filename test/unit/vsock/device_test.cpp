// The socket device: a guest's packets on the rings, programs of the host on Unix sockets.
#define BOOST_TEST_MODULE vsock_device
#include "vsock_guest.hpp"

#include <asyncvm/error.hpp>

#include <array>
#include <memory>
#include <utility>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_CASE(the_guest_reads_its_cid) {
    Guest guest;
    BOOST_TEST(guest.driver.read(MmioRegisters::device_id) == 19u);
    BOOST_TEST(guest.driver.read(MmioRegisters::config) == cid);
    BOOST_TEST(guest.driver.read(MmioRegisters::config + 4) == 0u);
    BOOST_REQUIRE(guest.lines.size() == 1u);
    BOOST_TEST(guest.lines[0] == "vsock: programs reach the guest, cid 5, through unix:" + guest.path());
}

BOOST_AUTO_TEST_CASE(a_program_connects_to_a_port_of_the_guest) {
    Guest guest;
    Socket program;
    const auto port = guest.open(program);
    BOOST_TEST(port == 0x40000000u);
    BOOST_TEST(program.send("hello guest") == 11);
    const auto data = guest.receive();
    BOOST_TEST((data.operation == Operation::data));
    BOOST_TEST(data.source_port == port);
    BOOST_TEST(guest.payload == "hello guest");
    guest.send(Operation::data, 80, port, "hello host");
    std::string got;
    BOOST_TEST(guest.eventually([&] { return (got += program.receive()) == "hello host"; }));
    Socket other;
    BOOST_TEST(guest.open(other) == port + 1);
}

BOOST_AUTO_TEST_CASE(what_follows_the_connect_line_is_the_guests) {
    Guest guest;
    Socket program;
    BOOST_REQUIRE(program.connect(guest.path()));
    BOOST_REQUIRE(program.send("CONNECT 80\nearly") == 16);
    const auto request = guest.receive();
    guest.send(Operation::response, 80, request.source_port);
    BOOST_TEST((guest.receive().operation == Operation::data));
    BOOST_TEST(guest.payload == "early");
}

BOOST_AUTO_TEST_CASE(where_nobody_listens_the_program_is_closed_without_a_word) {
    Guest guest;
    Socket program;
    BOOST_REQUIRE(program.connect(guest.path()));
    BOOST_REQUIRE(program.send("CONNECT 81\n") == 11);
    const auto request = guest.receive();
    guest.send(Operation::reset, 81, request.source_port);
    BOOST_TEST(guest.eventually([&] { return program.receive().empty() && program.ended; }));
    BOOST_TEST(guest.packets.empty());
}

BOOST_AUTO_TEST_CASE(lines_that_are_no_connect_close_the_socket) {
    Guest guest;
    const std::array<std::string, 6> wrong{
        "HELLO\n", "CONNECT\n", "CONNECT x\n", "CONNECT -1\n", "CONNECT 4294967295\n", std::string(40, 'C')};
    for (const auto& line : wrong) {
        Socket program;
        BOOST_REQUIRE(program.connect(guest.path()));
        BOOST_REQUIRE(program.send(line) > 0);
        BOOST_TEST(guest.eventually([&] { return program.receive().empty() && program.ended; }), line);
    }
    BOOST_TEST(guest.packets.empty());
}

BOOST_AUTO_TEST_CASE(a_program_that_leaves_before_the_guest_answers_is_taken_back) {
    Guest guest;
    std::uint32_t port = 0;
    {
        Socket program;
        BOOST_REQUIRE(program.connect(guest.path()));
        BOOST_REQUIRE(program.send("CONNECT 80\n") == 11);
        port = guest.receive().source_port;
    }
    const auto reset = guest.receive();
    BOOST_TEST((reset.operation == Operation::reset));
    BOOST_TEST(reset.source_port == port);
}

BOOST_AUTO_TEST_CASE(the_guest_connects_to_a_program_that_listens) {
    Guest guest;
    Socket listener;
    listener.listen(guest.path() + "_52");
    guest.send(Operation::request, 1024, 52);
    const auto response = guest.receive();
    BOOST_TEST((response.operation == Operation::response));
    BOOST_TEST(response.source_port == 52u);
    BOOST_TEST(response.destination_port == 1024u);
    Socket program(::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    BOOST_REQUIRE(program.fd >= 0);
    guest.send(Operation::data, 1024, 52, "ping");
    std::string got;
    BOOST_TEST(guest.eventually([&] { return (got += program.receive()) == "ping"; }));
    BOOST_TEST(program.send("pong") == 4);
    BOOST_TEST((guest.receive().operation == Operation::data));
    BOOST_TEST(guest.payload == "pong");
}

BOOST_AUTO_TEST_CASE(where_no_program_listens_the_guest_gets_a_reset) {
    Guest guest;
    guest.send(Operation::request, 1024, 53);
    const auto reset = guest.receive();
    BOOST_TEST((reset.operation == Operation::reset));
    BOOST_TEST(reset.source_port == 53u);
    BOOST_TEST(reset.destination_port == 1024u);
}

BOOST_AUTO_TEST_CASE(packets_for_nobody_get_a_reset_and_a_reset_gets_none) {
    Guest guest;
    guest.send(Operation::reset, 1, 2);
    guest.send(Operation::data, 1, 2, "x");
    BOOST_TEST((guest.receive().operation == Operation::reset));
    Packet seqpacket;
    seqpacket.type = 2;
    seqpacket.operation = Operation::request;
    seqpacket.source_port = 7;
    guest.send(seqpacket);
    const auto refusal = guest.receive();
    BOOST_TEST((refusal.operation == Operation::reset));
    BOOST_TEST(refusal.type == 2u);
    BOOST_TEST(guest.packets.empty());
}

BOOST_AUTO_TEST_CASE(each_direction_ends_by_itself) {
    Guest guest;
    Socket program;
    const auto port = guest.open(program);
    BOOST_REQUIRE(::shutdown(program.fd, SHUT_WR) == 0);
    const auto shutdown = guest.receive();
    BOOST_TEST((shutdown.operation == Operation::shutdown));
    BOOST_TEST(shutdown.flags == vsock::no_more_send);
    guest.send(Operation::data, 80, port, "the answer");
    guest.send(Operation::shutdown, 80, port, {}, 3);
    BOOST_TEST((guest.receive().operation == Operation::reset));
    std::string got;
    BOOST_TEST(guest.eventually([&] {
        got += program.receive();
        return program.ended;
    }));
    BOOST_TEST(got == "the answer");
}

BOOST_AUTO_TEST_CASE(a_program_that_has_gone_shuts_both_directions) {
    Guest guest;
    auto program = std::make_unique<Socket>();
    const auto port = guest.open(*program);
    program.reset();
    const auto shutdown = guest.receive();
    BOOST_TEST((shutdown.operation == Operation::shutdown));
    BOOST_TEST(shutdown.flags == (vsock::no_more_send | vsock::no_more_receive));
    guest.send(Operation::shutdown, 80, port, {}, 3);
    BOOST_TEST((guest.receive().operation == Operation::reset));
}

BOOST_AUTO_TEST_CASE(the_guests_credit_holds_a_program_back) {
    Guest guest;
    guest.credit = 10;
    Socket program;
    const auto port = guest.open(program);
    BOOST_TEST(program.send("0123456789abcdef") == 16);
    BOOST_TEST((guest.receive().operation == Operation::data));
    BOOST_TEST(guest.payload == "0123456789");
    BOOST_TEST((guest.receive().operation == Operation::credit_request));
    guest.forwarded = 10;
    guest.send(Operation::credit_update, 80, port);
    BOOST_TEST((guest.receive().operation == Operation::data));
    BOOST_TEST(guest.payload == "abcdef");
}

BOOST_AUTO_TEST_CASE(a_program_that_reads_late_gets_everything) {
    Guest guest;
    Socket program;
    const auto port = guest.open(program);
    std::string sent;
    // More than the socket takes, within the credit.
    std::uint32_t credit = 256 << 10;
    std::uint32_t used = 0;
    for (unsigned i = 0; i < 300; ++i) {
        const std::string part(4000, static_cast<char>('a' + i % 26));
        while (!guest.packets.empty()) {
            const auto packet = guest.receive();
            if (packet.operation == Operation::credit_update) credit = packet.forwarded + packet.buffer;
        }
        if (used + part.size() > credit) break;
        guest.send(Operation::data, 80, port, part);
        bool turned = false;
        guest.eventually([&turned] { return std::exchange(turned, true); });
        sent += part;
        used += static_cast<std::uint32_t>(part.size());
    }
    BOOST_TEST(sent.size() > 256u << 10);
    std::string got;
    BOOST_TEST(guest.eventually([&] { return (got += program.receive()).size() >= sent.size(); }));
    BOOST_TEST((got == sent));
}

BOOST_AUTO_TEST_CASE(a_packet_without_its_payload_is_the_drivers_mistake) {
    Guest guest;
    Packet packet;
    packet.source_cid = cid;
    packet.destination_cid = vsock::host_cid;
    packet.operation = Operation::data;
    packet.length = 100;
    guest.send_raw(packet, "short");
    BOOST_TEST((guest.driver.read(MmioRegisters::status) & DeviceState::needs_reset_bit) != 0u);
    BOOST_REQUIRE(guest.driver.log.size() == 1u);
    BOOST_TEST(guest.driver.log[0].find("a packet without its header or its payload") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_reset_closes_the_programs_and_the_next_driver_starts_anew) {
    Guest guest;
    Socket program;
    guest.open(program);
    guest.driver.write(MmioRegisters::status, 0);
    BOOST_TEST(guest.eventually([&] { return program.receive().empty() && program.ended; }));
    // Without a driver nobody gets in.
    Socket early;
    BOOST_REQUIRE(early.connect(guest.path()));
    BOOST_TEST(guest.eventually([&] { return early.receive().empty() && early.ended; }));
}

BOOST_AUTO_TEST_CASE(a_restored_guest_is_told_that_its_streams_are_gone) {
    Guest guest;
    guest.driver.ring(2).offer(0, {{outgoing + 0x2000, 8, RingDriver::writes}});
    guest.driver.notify(2);
    BOOST_TEST(!guest.driver.ring(2).take_used().has_value());
    Socket program;
    guest.open(program);
    const auto saved = guest.driver.saved();
    guest.driver.restore(saved);
    BOOST_TEST(guest.eventually([&] { return program.receive().empty() && program.ended; }));
    const auto used = guest.driver.ring(2).take_used();
    BOOST_REQUIRE(used.has_value());
    BOOST_TEST(used->written == 4u);
}

BOOST_AUTO_TEST_CASE(specs) {
    BOOST_TEST((parse_vsock_spec("unix:/tmp/a,,b") == VsockSpec{"/tmp/a,b", 3}));
    BOOST_TEST((parse_vsock_spec("unix:/tmp/a,cid=77") == VsockSpec{"/tmp/a", 77}));
    for (const auto* const wrong :
         {"", "unix:", "/tmp/a", "unix:/a,cid=2", "unix:/a,cid=4294967295", "unix:/a,cid=x", "unix:/a,", "unix:/a,port=1"}) {
        BOOST_CHECK_EXCEPTION(static_cast<void>(parse_vsock_spec(wrong)), Error, [](const Error& error) {
            return error.kind() == ErrorKind::usage &&
                   std::string_view(error.what()).find("for example unix:/tmp/vm.vsock,cid=3") != std::string_view::npos;
        });
    }
}
