// Streams of virtio sockets: their states, their credit, guests that break the rules.
#define BOOST_TEST_MODULE vsock_stream
#include "vsock/stream.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>
#include <string_view>

using namespace asyncvm::vsock;

namespace {

constexpr std::uint64_t cid = 3;
constexpr Ports ports{.host = 1024, .guest = 5000};

Packet from_guest(Operation operation, std::uint32_t buffer = 1000, std::uint32_t forwarded = 0) {
    Packet packet;
    packet.source_cid = cid;
    packet.destination_cid = host_cid;
    packet.source_port = ports.guest;
    packet.destination_port = ports.host;
    packet.operation = operation;
    packet.buffer = buffer;
    packet.forwarded = forwarded;
    return packet;
}

void take(Stream& stream, Operation operation, std::string_view payload = {}, std::uint32_t flags = 0) {
    auto packet = from_guest(operation);
    packet.flags = flags;
    packet.length = static_cast<std::uint32_t>(payload.size());
    stream.take(packet, std::as_bytes(std::span(payload)));
}

/// The operation of the next packet for the guest; invalid if there is none.
Operation next(Stream& stream) {
    const auto packet = stream.next_packet();
    return packet ? packet->operation : Operation::invalid;
}

/// An open stream that the guest began, its response sent.
Stream open_stream(std::uint32_t buffer = 1000) {
    auto stream = Stream::from_guest(from_guest(Operation::request, buffer));
    BOOST_REQUIRE((next(stream) == Operation::response));
    return stream;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_header_is_44_bytes_lowest_first_and_comes_back) {
    Packet packet = from_guest(Operation::shutdown, 0x11223344, 0x55667788);
    packet.length = 0x01020304;
    packet.flags = 3;
    const auto bytes = encode(packet);
    BOOST_TEST(bytes.size() == 44u);
    const auto at = [&bytes](std::size_t place) { return std::to_integer<unsigned>(bytes[place]); };
    BOOST_TEST(at(0) == 3u);
    BOOST_TEST(at(8) == 2u);
    BOOST_TEST(at(16) == (5000u & 0xff));
    BOOST_TEST(at(21) == 4u);
    BOOST_TEST(at(24) == 4u);
    BOOST_TEST(at(28) == 1u);
    BOOST_TEST(at(30) == 4u);
    BOOST_TEST(at(32) == 3u);
    BOOST_TEST(at(36) == 0x44u);
    BOOST_TEST(at(43) == 0x55u);
    BOOST_TEST((decode(bytes) == packet));
}

BOOST_AUTO_TEST_CASE(a_stream_of_the_guest_is_answered_and_told_its_credit) {
    auto stream = Stream::from_guest(from_guest(Operation::request));
    const auto response = stream.next_packet();
    BOOST_REQUIRE(response.has_value());
    BOOST_TEST((response->operation == Operation::response));
    BOOST_TEST(response->source_cid == host_cid);
    BOOST_TEST(response->destination_cid == cid);
    BOOST_TEST(response->source_port == ports.host);
    BOOST_TEST(response->destination_port == ports.guest);
    BOOST_TEST(response->buffer == Stream::capacity);
    BOOST_TEST((stream.phase() == Stream::Phase::open));
    BOOST_TEST(!stream.owes_packet());
}

BOOST_AUTO_TEST_CASE(a_stream_of_the_host_is_open_when_the_guest_has_answered) {
    auto stream = Stream::from_host(cid, ports);
    BOOST_TEST((next(stream) == Operation::request));
    BOOST_TEST(stream.room() == 0u);
    BOOST_TEST((stream.phase() == Stream::Phase::requested));
    take(stream, Operation::response);
    BOOST_TEST((stream.phase() == Stream::Phase::open));
    BOOST_TEST(stream.room() == 1000u);
}

BOOST_AUTO_TEST_CASE(a_guest_that_refuses_gets_no_reset) {
    auto stream = Stream::from_host(cid, ports);
    BOOST_TEST((next(stream) == Operation::request));
    take(stream, Operation::reset);
    BOOST_TEST((stream.phase() == Stream::Phase::dead));
    BOOST_TEST(!stream.owes_packet());
}

BOOST_AUTO_TEST_CASE(a_program_that_goes_before_the_guest_was_asked_leaves_nothing) {
    auto stream = Stream::from_host(cid, ports);
    stream.input_ended(true);
    BOOST_TEST((stream.phase() == Stream::Phase::dead));
    BOOST_TEST(!stream.owes_packet());
    auto asked = Stream::from_host(cid, ports);
    BOOST_TEST((next(asked) == Operation::request));
    asked.input_ended(true);
    BOOST_TEST((next(asked) == Operation::reset));
}

BOOST_AUTO_TEST_CASE(payload_waits_for_the_socket_and_gives_credit_when_it_has_left) {
    auto stream = open_stream();
    take(stream, Operation::data, "hello ");
    take(stream, Operation::data, "host");
    BOOST_TEST(stream.for_socket().size() == 10u);
    stream.written(6);
    const auto rest = stream.for_socket();
    BOOST_TEST(std::string(reinterpret_cast<const char*>(rest.data()), rest.size()) == "host");
    BOOST_TEST(!stream.owes_packet());
    take(stream, Operation::credit_request);
    const auto update = stream.next_packet();
    BOOST_REQUIRE(update.has_value());
    BOOST_TEST((update->operation == Operation::credit_update));
    BOOST_TEST(update->forwarded == 6u);
    BOOST_TEST(!stream.owes_packet());
}

BOOST_AUTO_TEST_CASE(the_guest_learns_of_its_credit_before_it_has_to_wait) {
    auto stream = open_stream();
    const std::string payload(Stream::capacity, 'x');
    take(stream, Operation::data, payload);
    BOOST_TEST((stream.phase() == Stream::Phase::open));
    stream.written(Stream::capacity / 4 - 1);
    BOOST_TEST(!stream.owes_packet());
    stream.written(1);
    BOOST_TEST((next(stream) == Operation::credit_update));
}

BOOST_AUTO_TEST_CASE(more_than_the_credit_ends_the_stream) {
    auto stream = open_stream();
    take(stream, Operation::data, std::string(Stream::capacity, 'x'));
    take(stream, Operation::data, "y");
    BOOST_TEST((stream.phase() == Stream::Phase::dead));
    BOOST_TEST((next(stream) == Operation::reset));
    BOOST_TEST(stream.for_socket().empty());
}

BOOST_AUTO_TEST_CASE(the_guests_credit_bounds_what_it_gets) {
    auto stream = open_stream(1000);
    BOOST_TEST(stream.room() == 1000u);
    const auto packet = stream.data(700);
    BOOST_TEST((packet.operation == Operation::data));
    BOOST_TEST(packet.length == 700u);
    BOOST_TEST(stream.room() == 300u);
    (void)stream.data(300);
    BOOST_TEST(stream.room() == 0u);
    stream.want_room();
    stream.want_room();
    BOOST_TEST((next(stream) == Operation::credit_request));
    BOOST_TEST(!stream.owes_packet());
    stream.take(from_guest(Operation::credit_update, 1000, 600), {});
    BOOST_TEST(stream.room() == 600u);
    // A guest that says nonsense of what it has taken gets nothing more.
    stream.take(from_guest(Operation::credit_update, 1000, 5000), {});
    BOOST_TEST(stream.room() == 0u);
    stream.take(from_guest(Operation::credit_update, 0xffffffff, 1000), {});
    BOOST_TEST(stream.room() == most_payload);
}

BOOST_AUTO_TEST_CASE(each_direction_ends_by_itself_and_the_stream_with_the_second) {
    auto stream = open_stream();
    take(stream, Operation::data, "last");
    take(stream, Operation::shutdown, {}, no_more_send);
    BOOST_TEST(!stream.output_ends());
    BOOST_TEST(stream.room() == 1000u);
    stream.written(4);
    BOOST_TEST(stream.output_ends());
    BOOST_TEST((stream.phase() == Stream::Phase::open));
    BOOST_TEST(!stream.owes_packet());
    stream.input_ended(false);
    BOOST_TEST((stream.phase() == Stream::Phase::dead));
    BOOST_TEST((next(stream) == Operation::reset));
    BOOST_TEST(!stream.owes_packet());
}

BOOST_AUTO_TEST_CASE(the_hosts_end_is_told_to_the_guest_which_may_go_on_sending) {
    auto stream = open_stream();
    stream.input_ended(false);
    stream.input_ended(false);
    const auto shutdown = stream.next_packet();
    BOOST_REQUIRE(shutdown.has_value());
    BOOST_TEST((shutdown->operation == Operation::shutdown));
    BOOST_TEST(shutdown->flags == no_more_send);
    BOOST_TEST(!stream.owes_packet());
    BOOST_TEST(stream.room() == 0u);
    take(stream, Operation::data, "more");
    BOOST_TEST(stream.for_socket().size() == 4u);
    take(stream, Operation::shutdown, {}, no_more_send | no_more_receive);
    // What is on its way still goes to the socket.
    BOOST_TEST((stream.phase() == Stream::Phase::open));
    stream.written(4);
    BOOST_TEST((stream.phase() == Stream::Phase::dead));
    BOOST_TEST((next(stream) == Operation::reset));
}

BOOST_AUTO_TEST_CASE(what_is_out_of_place_ends_the_stream) {
    for (const auto operation : {Operation::request, Operation::response, Operation::invalid, static_cast<Operation>(99)}) {
        auto stream = open_stream();
        take(stream, operation);
        BOOST_TEST((stream.phase() == Stream::Phase::dead));
        BOOST_TEST((next(stream) == Operation::reset));
    }
    for (const auto operation : {Operation::data, Operation::shutdown}) {
        auto stream = Stream::from_host(cid, ports);
        BOOST_TEST((next(stream) == Operation::request));
        take(stream, operation, "x", no_more_send);
        BOOST_TEST((next(stream) == Operation::reset));
    }
    auto ended = open_stream();
    take(ended, Operation::shutdown, {}, no_more_send);
    take(ended, Operation::data, "x");
    BOOST_TEST((ended.phase() == Stream::Phase::dead));
}

BOOST_AUTO_TEST_CASE(a_reset_swaps_the_sides) {
    const auto reset = reset_for(from_guest(Operation::data));
    BOOST_TEST((reset.operation == Operation::reset));
    BOOST_TEST(reset.source_port == ports.host);
    BOOST_TEST(reset.destination_port == ports.guest);
    BOOST_TEST(reset.source_cid == host_cid);
    BOOST_TEST(reset.destination_cid == cid);
    BOOST_TEST(reset.length == 0u);
}

BOOST_AUTO_TEST_CASE(whatever_a_guest_sends_credit_and_buffers_keep_their_bounds) {
    for (unsigned seed = 0; seed < 500; ++seed) {
        std::mt19937 random(seed);
        auto stream = seed % 2 == 0 ? Stream::from_host(cid, ports) : Stream::from_guest(from_guest(Operation::request));
        std::uint64_t taken = 0;
        std::uint64_t written = 0;
        bool was_dead = false;
        for (unsigned step = 0; step < 60; ++step) {
            auto packet = from_guest(static_cast<Operation>(random() % 9),
                                     random() % 3 == 0 ? static_cast<std::uint32_t>(random()) : 70000,
                                     random() % 3 == 0 ? static_cast<std::uint32_t>(random()) : 0);
            // Mostly what lets a stream live.
            if (random() % 4 != 0) packet.operation = random() % 2 == 0 ? Operation::data : Operation::credit_update;
            packet.flags = static_cast<std::uint32_t>(random());
            const std::string payload(packet.operation == Operation::data ? random() % most_payload : 0, 'p');
            const auto before = stream.for_socket().size();
            stream.take(packet, std::as_bytes(std::span(payload)));
            if (stream.for_socket().size() > before) taken += payload.size();
            BOOST_REQUIRE(stream.for_socket().size() <= Stream::capacity);
            BOOST_REQUIRE(stream.room() <= most_payload);
            BOOST_REQUIRE(stream.room() <= packet.buffer);
            if (const auto room = stream.room(); room != 0)
                (void)stream.data(1 + static_cast<std::uint32_t>(random()) % room);
            stream.want_room();
            const auto count = stream.for_socket().size() / (1 + random() % 3);
            written += count;
            stream.written(count);
            if (random() % 40 == 0) stream.input_ended(random() % 2 == 0);
            unsigned owed = 0;
            while (stream.next_packet()) ++owed;
            BOOST_REQUIRE(owed <= 6);
            BOOST_REQUIRE(!stream.owes_packet());
            const bool dead = stream.phase() == Stream::Phase::dead;
            BOOST_REQUIRE((!was_dead || dead));
            if (was_dead) {
                BOOST_REQUIRE((owed == 0 && stream.room() == 0 && stream.for_socket().empty()));
            }
            was_dead = dead;
        }
        BOOST_REQUIRE(written <= taken);
    }
}
