// Frames in a stream of bytes: any portions, wrong lengths, full buffers.
#define BOOST_TEST_MODULE net_framing
#include "net/framing.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

using namespace asyncvm;

namespace {

using Bytes = std::vector<std::byte>;

Bytes frame_of(std::size_t length, unsigned number) {
    Bytes frame(length);
    for (std::size_t i = 0; i < length; ++i) frame[i] = static_cast<std::byte>(i * 7 + number);
    return frame;
}

void append(Bytes& stream, std::size_t length, const Bytes& frame) {
    for (int shift = 24; shift >= 0; shift -= 8) stream.push_back(static_cast<std::byte>(length >> shift));
    stream.insert(stream.end(), frame.begin(), frame.end());
}

/// Puts as much of `bytes` as there is room for, at most `most`; returns how much.
std::size_t put(FrameReader& reader, std::span<const std::byte> bytes, std::size_t most, bool& understood) {
    const auto room = reader.room();
    const auto count = std::min({bytes.size(), room.size(), most});
    std::copy_n(bytes.begin(), count, room.begin());
    understood = reader.filled(count);
    return count;
}

Bytes copy(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_frame_has_its_length_before_it_the_highest_byte_first) {
    FrameWriter writer;
    const auto head = frame_of(14, 1);
    const auto tail = frame_of(286, 2);
    const std::array pieces{std::span<const std::byte>(head), std::span<const std::byte>(tail)};
    BOOST_TEST(writer.append(pieces, 300));
    const auto bytes = writer.bytes();
    BOOST_REQUIRE(bytes.size() == 304u);
    const Bytes length{std::byte{0}, std::byte{0}, std::byte{1}, std::byte{44}};
    BOOST_TEST((copy(bytes.first(4)) == length));
    BOOST_TEST((copy(bytes.subspan(4, 14)) == head));
    BOOST_TEST((copy(bytes.subspan(18)) == tail));
}

BOOST_AUTO_TEST_CASE(frames_come_out_as_they_went_in_whatever_the_portions) {
    std::mt19937 random(20);
    for (unsigned round = 0; round < 60; ++round) {
        std::vector<Bytes> frames;
        Bytes stream;
        for (unsigned i = 0; i < 40; ++i) {
            const bool large = random() % 8 == 0;
            const auto length = large ? most_frame - random() % 3 : least_frame + random() % 1500;
            frames.push_back(frame_of(length, i));
            append(stream, length, frames.back());
        }
        FrameReader reader;
        std::span<const std::byte> rest(stream);
        std::size_t next = 0;
        const std::size_t portion = 1 + random() % 100'000;
        const unsigned patience = random() % 4;
        while (next < frames.size()) {
            bool understood = false;
            const auto count = put(reader, rest, 1 + random() % portion, understood);
            BOOST_REQUIRE(understood);
            rest = rest.subspan(count);
            // Sometimes nobody takes frames until there is no room.
            if (count != 0 && patience != 0 && random() % patience != 0) continue;
            BOOST_REQUIRE((count != 0 || rest.empty() || !reader.front().empty()));
            while (!reader.front().empty()) {
                if (copy(reader.front()) != frames[next]) BOOST_FAIL("frame " << next << " is another one");
                reader.pop();
                ++next;
            }
        }
        BOOST_TEST(rest.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_length_that_cannot_be_is_found_and_frames_before_it_stay) {
    for (const std::uint32_t wrong : {0u, 13u, 69633u, 0x7fffffffu, 0xffffffffu}) {
        FrameReader reader;
        Bytes stream;
        append(stream, 60, frame_of(60, 1));
        append(stream, wrong, {});
        bool understood = true;
        put(reader, stream, stream.size(), understood);
        BOOST_TEST(!understood);
        BOOST_TEST(reader.wrong_length() == wrong);
        reader.end();
        BOOST_TEST((copy(reader.front()) == frame_of(60, 1)));
        reader.pop();
        BOOST_TEST(reader.front().empty());
    }
    for (const std::size_t right : {least_frame, most_frame}) {
        FrameReader reader;
        Bytes stream;
        append(stream, right, frame_of(right, 3));
        bool understood = false;
        put(reader, stream, stream.size(), understood);
        BOOST_TEST(understood);
        BOOST_TEST((copy(reader.front()) == frame_of(right, 3)));
    }
}

BOOST_AUTO_TEST_CASE(what_a_connection_leaves_of_a_frame_does_not_reach_the_next) {
    FrameReader reader;
    Bytes stream;
    append(stream, 60, frame_of(60, 1));
    append(stream, 100, frame_of(50, 2));
    bool understood = false;
    put(reader, stream, stream.size(), understood);
    reader.end();
    Bytes next;
    append(next, 20, frame_of(20, 3));
    put(reader, next, next.size(), understood);
    BOOST_TEST(understood);
    BOOST_TEST((copy(reader.front()) == frame_of(60, 1)));
    reader.pop();
    BOOST_TEST((copy(reader.front()) == frame_of(20, 3)));
}

BOOST_AUTO_TEST_CASE(random_bytes_give_frames_of_sane_lengths_or_an_error) {
    std::mt19937 random(7);
    for (unsigned round = 0; round < 2000; ++round) {
        FrameReader reader;
        bool understood = true;
        for (unsigned i = 0; i < 50 && understood; ++i) {
            Bytes bytes(1 + random() % 64);
            // Small lengths, so that some are right.
            for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 5 == 0 ? random() % 64 : 0);
            put(reader, bytes, bytes.size(), understood);
            while (!reader.front().empty()) {
                BOOST_REQUIRE(reader.front().size() >= least_frame);
                BOOST_REQUIRE(reader.front().size() <= most_frame);
                if (random() % 2 == 0) break;
                reader.pop();
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_writer_says_when_it_has_no_room_and_keeps_the_order) {
    FrameWriter writer;
    Bytes expected;
    Bytes taken;
    std::mt19937 random(3);
    unsigned refused = 0;
    for (unsigned i = 0; i < 3000; ++i) {
        const auto length = least_frame + random() % 5000;
        const auto frame = frame_of(length, i);
        const std::array pieces{std::span<const std::byte>(frame)};
        if (writer.append(pieces, length)) {
            append(expected, length, frame);
        } else {
            ++refused;
            BOOST_TEST(!writer.has_room());
        }
        const auto count = std::min<std::size_t>(writer.bytes().size(), random() % 4500);
        const auto sent = copy(writer.bytes().first(count));
        taken.insert(taken.end(), sent.begin(), sent.end());
        writer.written(count);
    }
    const auto rest = copy(writer.bytes());
    taken.insert(taken.end(), rest.begin(), rest.end());
    BOOST_TEST(refused > 10u);
    BOOST_TEST((taken == expected));
}
