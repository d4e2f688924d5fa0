// Frames as bytes, cut out of a stream; texts of strangers; how much of them is printed.
#include <boost/test/unit_test.hpp>

#include <random>

#include "remote/log_limit.hpp"
#include "stream.hpp"

using namespace asyncvm::remote;
using namespace asyncvm::remote::test;

namespace {

/// Gives the stream in pieces of 1 to `most` bytes.
std::vector<Header> read_in_pieces(FrameReader& reader, std::span<const std::byte> stream, std::size_t most,
                                   std::mt19937& random) {
    std::vector<Header> headers;
    while (!stream.empty() && reader.mistake().empty()) {
        const auto room = reader.room();
        const auto count = std::min({room.size(), stream.size(), 1 + random() % most});
        BOOST_REQUIRE(count > 0);
        std::copy_n(stream.begin(), count, room.begin());
        reader.took(count);
        stream = stream.subspan(count);
        while (const auto next = reader.next()) {
            BOOST_TEST(next->payload.size() + header_size == next->header.size);
            headers.push_back(next->header);
            reader.drop();
        }
    }
    return headers;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_stream_is_the_same_frames_however_it_is_cut) {
    std::mt19937 random(1);
    Bytes stream;
    std::vector<Header> sent;
    for (std::uint16_t id = 0; id < 200; ++id) {
        const std::size_t size = random() % 81;
        const Bytes one = frame(id, Command::log, type_command, [size](Bytes& to) { to.resize(size); });
        sent.push_back({.id = id, .command = Command::log, .size = static_cast<std::uint32_t>(one.size())});
        stream.insert(stream.end(), one.begin(), one.end());
    }
    for (const std::size_t most : {1, 3, 17, 100, 100'000}) {
        FrameReader reader;
        BOOST_TEST((read_in_pieces(reader, stream, most, random) == sent), "pieces of " << most);
        BOOST_TEST(reader.mistake() == "");
    }
}

BOOST_AUTO_TEST_CASE(a_frame_that_can_not_be_ends_the_reading_before_it_is_whole) {
    std::mt19937 random(2);
    const auto mistake_of = [&random](std::uint32_t size, std::uint32_t flags, std::size_t limit) {
        FrameReader reader;
        reader.set_limit(limit);
        Bytes head;
        append(head, std::uint16_t{1});
        append(head, std::uint16_t{2});
        append(head, size);
        append(head, flags);
        append(head, std::uint32_t{0});
        (void)read_in_pieces(reader, head, 100, random);
        return reader.mistake();
    };
    BOOST_TEST(mistake_of(16, 0, 96) == "");
    BOOST_TEST(mistake_of(96, 0x11, 96) == "");
    BOOST_TEST(mistake_of(15, 0, 96) == "it sends a frame of 15 bytes, and 16 to 96 are allowed");
    BOOST_TEST(mistake_of(97, 0, 96) == "it sends a frame of 97 bytes, and 16 to 96 are allowed");
    BOOST_TEST(mistake_of(0xffffffff, 0, 5000) == "it sends a frame of 4294967295 bytes, and 16 to 5000 are allowed");
    BOOST_TEST(mistake_of(16, 2, 96) == "it sends a frame with flags 0x2, which the protocol does not have");
    BOOST_TEST(mistake_of(16, 0x40, 96) == "it sends a frame with flags 0x40, which the protocol does not have");
    BOOST_TEST(mistake_of(20, 0x21, 96) == "its error reply to DMA_MAP has a payload");
}

BOOST_AUTO_TEST_CASE(a_text_of_a_stranger_does_nothing_to_a_terminal) {
    BOOST_TEST(harmless("a fifo, 3 µs: ok") == "a fifo, 3 µs: ok");
    BOOST_TEST(harmless("a\x1b[2J\nb\x7f") == "a?[2J?b?");
    BOOST_TEST(harmless("\xc2\x9b") == "??");  // CSI in one character
    BOOST_TEST(harmless("\xe2\x82\xac \xf0\x9f\x98\x80") == "\xe2\x82\xac \xf0\x9f\x98\x80");
    BOOST_TEST(harmless("\xe2\x82") == "??");                 // cut off
    BOOST_TEST(harmless("\xc0\xaf\xe0\x80\xaf") == "?????");  // overlong
    BOOST_TEST(harmless("\xf0\x80\x80\xaf") == "????");
    BOOST_TEST(harmless("\xed\xa0\x80\xf4\x90\x80\x80") == "???????");
}

BOOST_AUTO_TEST_CASE(a_flood_of_lines_is_ten_and_then_ten_a_second) {
    using namespace std::chrono_literals;
    LogLimit limit;
    LogLimit::Clock::time_point now(1h);
    unsigned printed = 0;
    for (int i = 0; i < 1000; ++i) printed += limit.take(now) ? 1 : 0;
    BOOST_TEST(printed == 10U);
    BOOST_TEST(limit.left_out() == 990U);
    for (int i = 0; i < 1000; ++i) printed += limit.take(now += 1ms) ? 1 : 0;
    BOOST_TEST(printed == 20U);
    now += 1h;
    for (int i = 0; i < 1000; ++i) printed += limit.take(now) ? 1 : 0;
    BOOST_TEST(printed == 30U);
}
