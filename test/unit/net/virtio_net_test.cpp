// The network card: frames between rings and a back end that the test holds.
#define BOOST_TEST_MODULE virtio_net
#include "../virtio/mmio_driver.hpp"

#include <asyncvm/virtio_net.hpp>

#include <deque>

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint64_t mergeable = std::uint64_t{1} << 15;
constexpr std::uint64_t status = std::uint64_t{1} << 16;
constexpr std::uint64_t control = std::uint64_t{1} << 17;
constexpr std::uint64_t data = 0x10000;  ///< where the driver's buffers are
constexpr MacAddress mac{0x52, 0x54, 0, 1, 2, 3};

class Wire final : public NetBackend {
public:
    bool has_headers() const noexcept override { return headers; }
    void leave_to_guest(const NetOffloads& offloads) override { left = offloads; }
    void keep_frames(bool on) override {
        keeps = on;
        if (!on) coming.clear();
    }
    std::span<const std::byte> front() override {
        if (coming.empty()) return {};
        return std::as_bytes(std::span(coming.front()));
    }
    void pop() override { coming.pop_front(); }
    bool send(std::span<const std::span<const std::byte>> pieces) override {
        std::string frame;
        for (const auto piece : pieces) frame.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        kept.push_back(frame);
        return true;
    }
    void flush() override {
        if (kept.empty()) return;
        batches.push_back(kept.size());
        sent.insert(sent.end(), kept.begin(), kept.end());
        kept.clear();
    }
    bool has_room() const noexcept override { return has_space; }
    bool link_up() const noexcept override { return up; }
    void close() noexcept override { is_closed = true; }
    bool closed() const noexcept override { return is_closed; }
    std::string description() const override { return "wire"; }

    void arrive(const std::string& frame) {
        if (!keeps) return;
        coming.push_back(frame);
        changed().notify();
    }

    std::deque<std::string> coming;
    std::vector<std::string> kept, sent;
    std::vector<std::size_t> batches;
    NetOffloads left;
    bool headers = false, keeps = false, up = true, has_space = true, is_closed = false;
};

struct Card {
    std::shared_ptr<Wire> wire;
    MmioDriver driver;

    explicit Card(std::uint64_t features = feature_version_1, bool headers = false, std::optional<std::uint16_t> mtu = {})
        : wire(std::make_shared<Wire>()), driver([&](asio::io_context&) {
              wire->headers = headers;
              return make_net(wire, mac, mtu);
          }) {
        driver.start(features, 3);
    }

    void arrive(const std::string& frame) {
        wire->arrive(frame);
        driver.poll();
    }
    /// Gives the card a buffer for frames at descriptor and place `number`.
    void offer(std::uint16_t number, std::uint32_t size = 2048) {
        driver.ring(0).offer(number, {{place(number), size, RingDriver::writes}});
    }
    void transmit(std::uint16_t head, const std::string& frame) {
        driver.ring(1).put_text(place(head), std::string(12, '\0') + frame);
        driver.ring(1).offer(head, {{place(head), static_cast<std::uint32_t>(12 + frame.size())}});
    }
    static std::uint64_t place(std::uint16_t number) { return data + 0x1000u * number; }
    /// What is in buffer `number`, without the header.
    std::string frame_in(std::uint16_t number, std::size_t size) { return driver.ring().text_at(place(number) + 12, size); }
    std::string command(const std::string& bytes) {
        auto& ring = driver.ring(2);
        ring.put_text(data, bytes);
        ring.put_text(data + 0x100, "?");
        ring.offer(0, {{data, static_cast<std::uint32_t>(bytes.size())}, {data + 0x100, 1, RingDriver::writes}});
        driver.notify(2);
        const auto used = ring.take_used();
        BOOST_REQUIRE(used.has_value());
        BOOST_TEST(used->written == 1u);
        return ring.text_at(data + 0x100, 1);
    }
    std::string config(std::size_t size) {
        std::string bytes;
        for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(driver.read(MmioRegisters::config + i, 1));
        return bytes;
    }
};

std::string frame_of(std::size_t size, char first) {
    std::string frame;
    for (std::size_t i = 0; i < size; ++i) frame += static_cast<char>(first + i % 50);
    return frame;
}

bool used_is(RingDriver& ring, std::uint32_t head, std::uint32_t written) {
    const auto used = ring.take_used();
    return used.has_value() && used->head == head && used->written == written;
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_is_a_network_card_with_its_address_and_its_link) {
    Card card;
    BOOST_TEST(card.driver.read(MmioRegisters::device_id) == 1u);
    BOOST_TEST(card.config(6) == std::string("\x52\x54\0\x01\x02\x03", 6));
    BOOST_TEST(card.driver.read(MmioRegisters::config + 6, 2) == 1u);
    // No checksums, no segmentation: a frame is what is on the wire.
    BOOST_TEST((card.driver.offered() & 0x7fff) == 1u << 5);
}

BOOST_AUTO_TEST_CASE(a_frame_of_the_guest_goes_out_without_its_header) {
    Card card;
    const auto frame = frame_of(60, 'a');
    card.transmit(3, frame);
    card.driver.notify(1);
    BOOST_REQUIRE(card.wire->sent.size() == 1u);
    BOOST_TEST(card.wire->sent[0] == frame);
    BOOST_TEST(used_is(card.driver.ring(1), 3, 0));
    BOOST_TEST(card.driver.interrupted());
}

BOOST_AUTO_TEST_CASE(the_header_may_be_spread_over_buffers) {
    Card card;
    const auto frame = frame_of(70, 'b');
    card.driver.ring(1).put_text(data, std::string(12, '\0') + frame);
    card.driver.ring(1).offer(0, {{data, 5}, {data + 5, 9}, {data + 14, 68}});
    card.driver.notify(1);
    BOOST_REQUIRE(card.wire->sent.size() == 1u);
    BOOST_TEST(card.wire->sent[0] == frame);
}

BOOST_AUTO_TEST_CASE(frames_that_wait_are_one_batch_and_one_interrupt) {
    Card card;
    for (std::uint16_t i = 0; i < 6; ++i) card.transmit(i, frame_of(60, static_cast<char>('a' + i)));
    card.driver.notify(1);
    BOOST_TEST(card.wire->sent.size() == 6u);
    BOOST_TEST(card.wire->batches == std::vector<std::size_t>{6}, boost::test_tools::per_element());
    BOOST_TEST(card.driver.interrupts() == 1u);
}

BOOST_AUTO_TEST_CASE(the_guest_waits_for_a_peer_that_is_slow) {
    Card card;
    card.wire->has_space = false;
    card.transmit(0, frame_of(60, 'a'));
    card.driver.notify(1);
    BOOST_TEST(!card.driver.ring(1).take_used().has_value());
    card.wire->has_space = true;
    card.wire->changed().notify();
    card.driver.poll();
    BOOST_TEST(used_is(card.driver.ring(1), 0, 0));
    BOOST_TEST(card.wire->sent.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_frame_without_a_header_is_the_drivers_mistake) {
    Card card;
    card.driver.ring(1).offer(0, {{data, 11}});
    card.driver.notify(1);
    BOOST_TEST((card.driver.read(MmioRegisters::status) & DeviceState::needs_reset_bit) != 0u);
    BOOST_REQUIRE(card.driver.log.size() == 1u);
    BOOST_TEST(card.driver.log[0].find("a frame without its header") != std::string::npos);
    BOOST_TEST(card.wire->sent.empty());
}

BOOST_AUTO_TEST_CASE(a_frame_that_comes_is_in_the_next_buffer_behind_a_header) {
    Card card;
    card.offer(2);
    card.driver.notify(0);
    BOOST_TEST(!card.driver.ring().take_used().has_value());
    const auto frame = frame_of(99, 'c');
    card.arrive(frame);
    BOOST_TEST(used_is(card.driver.ring(), 2, 12 + 99));
    BOOST_TEST(card.frame_in(2, 99) == frame);
    BOOST_TEST(card.driver.ring().text_at(Card::place(2), 12) == std::string("\0\0\0\0\0\0\0\0\0\0\1\0", 12));
    BOOST_TEST(card.driver.interrupted());
}

BOOST_AUTO_TEST_CASE(frames_wait_for_buffers_and_keep_their_order) {
    Card card;
    for (char i = 0; i < 5; ++i) card.arrive(frame_of(60, static_cast<char>('a' + i)));
    BOOST_TEST(card.wire->coming.size() == 5u);
    for (std::uint16_t i = 0; i < 5; ++i) card.offer(i);
    card.driver.notify(0);
    for (std::uint16_t i = 0; i < 5; ++i) {
        BOOST_TEST(used_is(card.driver.ring(), i, 72));
        BOOST_TEST(card.frame_in(i, 60) == frame_of(60, static_cast<char>('a' + i)));
    }
    BOOST_TEST(card.driver.interrupts() == 1u);
}

BOOST_AUTO_TEST_CASE(frames_are_kept_only_while_a_driver_serves_the_card) {
    Card card;
    BOOST_TEST(card.wire->keeps);
    card.arrive(frame_of(60, 'x'));
    card.driver.write(MmioRegisters::status, 0);
    BOOST_TEST(!card.wire->keeps);
    BOOST_TEST(card.wire->coming.empty());
    card.driver.start(feature_version_1, 3);
    card.offer(0);
    card.driver.notify(0);
    card.arrive(frame_of(60, 'y'));
    BOOST_TEST(card.frame_in(0, 60) == frame_of(60, 'y'));
}

BOOST_AUTO_TEST_CASE(a_long_frame_takes_several_buffers_if_that_is_agreed) {
    Card card(feature_version_1 | mergeable);
    const auto frame = frame_of(250, 'd');
    for (std::uint16_t i = 0; i < 2; ++i) card.offer(i, 100);
    card.arrive(frame);
    // Two do not hold it: it waits for a third.
    BOOST_TEST(!card.driver.ring().take_used().has_value());
    card.offer(2, 100);
    card.driver.notify(0);
    BOOST_TEST(used_is(card.driver.ring(), 0, 100));
    BOOST_TEST(used_is(card.driver.ring(), 1, 100));
    BOOST_TEST(used_is(card.driver.ring(), 2, 62));
    BOOST_TEST(card.driver.ring().text_at(Card::place(0) + 10, 1) == "\3");
    BOOST_TEST(card.frame_in(0, 88) + card.driver.ring().text_at(Card::place(1), 100) +
                   card.driver.ring().text_at(Card::place(2), 62) ==
               frame);
}

BOOST_AUTO_TEST_CASE(a_frame_that_no_buffer_holds_is_dropped_and_the_next_one_arrives) {
    for (const auto features : {feature_version_1, feature_version_1 | mergeable}) {
        Card card(features);
        for (std::uint16_t i = 0; i < 8; ++i) card.offer(i, 100);
        card.driver.notify(0);
        card.arrive(frame_of(1000, 'e'));
        card.arrive(frame_of(60, 'f'));
        BOOST_TEST(card.wire->coming.empty());
        BOOST_TEST(used_is(card.driver.ring(), 0, 72));
        BOOST_TEST(card.frame_in(0, 60) == frame_of(60, 'f'));
    }
}

BOOST_AUTO_TEST_CASE(a_back_end_with_headers_offers_offloads_and_hears_what_the_driver_takes) {
    constexpr std::uint64_t both_ways = 0x3b83;  // CSUM, GUEST_CSUM, MAC and the six for TCP segments
    Card card(feature_version_1, true);
    BOOST_TEST((card.driver.offered() & 0x7fff) == (both_ways | 1u << 5));
    BOOST_TEST((card.wire->left == NetOffloads{}));
    card.driver.start(feature_version_1 | 1u << 1 | 1u << 7, 3);
    BOOST_TEST((card.wire->left == NetOffloads{.checksum = true, .tso4 = true}));
    card.driver.start(feature_version_1 | both_ways, 3);
    BOOST_TEST((card.wire->left == NetOffloads{.checksum = true, .tso4 = true, .tso6 = true, .ecn = true}));
    card.driver.write(MmioRegisters::status, 0);
    BOOST_TEST((card.wire->left == NetOffloads{}));
}

BOOST_AUTO_TEST_CASE(headers_pass_unchanged_where_checksums_are_left_to_the_other_side) {
    const std::string header("\1\0\0\0\0\0\x22\0\6\0\0\0", 12);
    const auto frame = frame_of(60, 'a');
    Card card(feature_version_1 | mergeable | 3, true);
    card.driver.ring(1).put_text(data, header + frame);
    card.driver.ring(1).offer(0, {{data, 40}, {data + 40, 32}});
    card.driver.notify(1);
    BOOST_REQUIRE(card.wire->sent.size() == 1u);
    BOOST_TEST(card.wire->sent[0] == header + frame);
    for (std::uint16_t i = 1; i < 3; ++i) card.offer(i, 50);
    card.arrive(header + frame);
    BOOST_TEST(used_is(card.driver.ring(), 1, 50));
    BOOST_TEST(used_is(card.driver.ring(), 2, 22));
    BOOST_TEST(card.driver.ring().text_at(Card::place(1), 12) == header.substr(0, 10) + std::string("\2\0", 2));
    BOOST_TEST(card.frame_in(1, 38) + card.driver.ring().text_at(Card::place(2), 22) == frame);
}

BOOST_AUTO_TEST_CASE(headers_say_nothing_where_the_driver_has_agreed_to_nothing) {
    const std::string header("\1\0\0\0\0\0\x22\0\6\0\0\0", 12);
    const auto frame = frame_of(60, 'a');
    Card card(feature_version_1, true);
    card.driver.ring(1).put_text(data, header + frame);
    card.driver.ring(1).offer(0, {{data, 40}, {data + 40, 32}});
    card.driver.notify(1);
    BOOST_REQUIRE(card.wire->sent.size() == 1u);
    BOOST_TEST(card.wire->sent[0] == std::string(12, '\0') + frame);
    card.offer(2);
    card.arrive(header + frame);
    BOOST_TEST(used_is(card.driver.ring(), 2, 72));
    BOOST_TEST(card.driver.ring().text_at(Card::place(2), 12) == std::string("\0\0\0\0\0\0\0\0\0\0\1\0", 12));
    BOOST_TEST(card.frame_in(2, 60) == frame);
}

BOOST_AUTO_TEST_CASE(the_driver_reads_the_mtu_if_there_is_one) {
    constexpr std::uint64_t mtu = 1u << 3;
    Card none;
    BOOST_TEST((none.driver.offered() & mtu) == 0u);
    Card card(feature_version_1 | mtu, false, std::uint16_t{9000});
    BOOST_TEST(card.driver.read(MmioRegisters::config + 10, 2) == 9000u);
    BOOST_TEST(card.driver.read(MmioRegisters::config + 6, 2) == 1u);
}

BOOST_AUTO_TEST_CASE(a_link_that_changes_is_told) {
    Card card(feature_version_1 | status);
    card.wire->up = false;
    card.wire->link_changed().notify();
    card.driver.poll();
    BOOST_TEST(card.driver.acknowledge() == DeviceState::config_change);
    BOOST_TEST(card.driver.read(MmioRegisters::config + 6, 2) == 0u);
    card.wire->up = true;
    card.wire->link_changed().notify();
    card.driver.poll();
    BOOST_TEST(card.driver.acknowledge() == DeviceState::config_change);
    BOOST_TEST(card.driver.read(MmioRegisters::config + 6, 2) == 1u);
}

BOOST_AUTO_TEST_CASE(commands_set_filters_and_the_address) {
    Card card(feature_version_1 | control);
    const std::string done("\0", 1);
    const std::string refused("\1", 1);
    BOOST_TEST(card.command(std::string("\0\0\1", 3)) == done);
    BOOST_TEST(card.command(std::string("\0\5\1", 3)) == done);
    BOOST_TEST(card.command(std::string("\0\6\1", 3)) == refused);
    BOOST_TEST(card.command(std::string("\0\0", 2)) == refused);
    BOOST_TEST(card.command(std::string("\1\0\0\0\0\0\0\0\0\0", 10)) == done);
    BOOST_TEST(card.command(std::string("\1\1\2\3\4\5\6", 7)) == refused);
    BOOST_TEST(card.command(std::string("\1\1\2\3\4\5\6\7", 8)) == done);
    BOOST_TEST(card.command(std::string("\4\0\1\0", 4)) == refused);
    BOOST_TEST(card.config(6) == "\2\3\4\5\6\7");
    const auto saved = card.driver.saved();
    Card other(feature_version_1 | control);
    other.driver.restore(saved);
    BOOST_TEST(other.config(6) == "\2\3\4\5\6\7");
    // A reset gives the card its own again.
    other.driver.write(MmioRegisters::status, 0);
    BOOST_TEST(other.config(6) == std::string("\x52\x54\0\x01\x02\x03", 6));
}

BOOST_AUTO_TEST_CASE(a_command_without_room_for_an_answer_is_the_drivers_mistake) {
    Card card(feature_version_1 | control);
    card.driver.ring(2).offer(0, {{data, 3}});
    card.driver.notify(2);
    BOOST_TEST((card.driver.read(MmioRegisters::status) & DeviceState::needs_reset_bit) != 0u);
}

BOOST_AUTO_TEST_CASE(a_reset_reaches_a_card_that_waits_for_its_peer) {
    Card card(feature_version_1 | mergeable);
    card.wire->has_space = false;
    card.transmit(0, frame_of(60, 'a'));
    card.driver.notify(1);
    card.offer(0, 100);
    card.arrive(frame_of(250, 'b'));
    card.driver.write(MmioRegisters::status, 0);
    BOOST_TEST(card.driver.read(MmioRegisters::status) == 0u);
    card.wire->has_space = true;
    card.wire->changed().notify();
    card.driver.poll();
    BOOST_TEST(card.wire->sent.empty());
    card.driver.start(feature_version_1, 3);
    card.transmit(1, frame_of(60, 'c'));
    card.driver.notify(1);
    BOOST_TEST(card.wire->sent.size() == 1u);
}
