// The messages of vhost-user as bytes, and what a back end may send.
#define BOOST_TEST_MODULE vhost_protocol
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "vhost/message.hpp"

using namespace asyncvm::vhost;

namespace {

std::string hex(const std::vector<std::byte>& bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::byte byte : bytes) {
        text += digits[std::to_integer<unsigned>(byte) / 16];
        text += digits[std::to_integer<unsigned>(byte) % 16];
    }
    return text;
}

std::vector<std::byte> answer_bytes(std::uint32_t request, std::uint32_t flags, std::size_t size, std::uint64_t number = 0) {
    const std::uint32_t head[]{request, flags, static_cast<std::uint32_t>(size)};
    std::vector<std::byte> bytes(header_size + size);
    std::memcpy(bytes.data(), head, sizeof head);
    if (size > 0) std::memcpy(bytes.data() + header_size, &number, std::min(size, sizeof number));
    return bytes;
}

/// Takes as much at once as the reader wants.
std::vector<Answer> read_all(AnswerReader& reader, std::span<const std::byte> bytes, unsigned descriptors = 0) {
    std::vector<Answer> answers;
    while (!bytes.empty() && reader.mistake().empty()) {
        const auto count = std::min(reader.wanted(), bytes.size());
        BOOST_REQUIRE(count > 0);
        reader.take(bytes.first(count), std::exchange(descriptors, 0));
        bytes = bytes.subspan(count);
        if (auto answer = reader.next()) answers.push_back(std::move(*answer));
    }
    return answers;
}

Answer answer_to(const Message& message, std::size_t size, std::uint64_t number = 0) {
    Answer answer{.request = static_cast<std::uint32_t>(message.request), .flags = 5};
    answer.payload.resize(size);
    if (size > 0) std::memcpy(answer.payload.data(), &number, std::min(size, sizeof number));
    return answer;
}

}  // namespace

BOOST_AUTO_TEST_CASE(messages_are_the_bytes_of_the_specification) {
    BOOST_TEST(hex(bytes_of(plain(Request::get_features))) == "010000000100000000000000");
    BOOST_TEST(hex(bytes_of(with_number(Request::set_features, 0x0102030405060708))) ==
               "0200000001000000080000000807060504030201");
    BOOST_TEST(hex(bytes_of(for_ring(Request::set_vring_base, 1, 0x1234))) == "0a00000001000000080000000100000034120000");
    Message asks = for_ring(Request::set_vring_num, 2, 256);
    asks.needs_reply = true;
    BOOST_TEST(hex(bytes_of(asks)) == "0800000009000000080000000200000000010000");
    const auto kick = with_eventfd(Request::set_vring_kick, 3, 77);
    BOOST_TEST(hex(bytes_of(kick)) == "0c00000001000000080000000300000000000000");
    BOOST_TEST(kick.descriptors == std::vector<int>{77}, boost::test_tools::per_element());
    BOOST_TEST(hex(bytes_of(set_addresses(1, {.descriptors = 0x10, .used = 0x20, .available = 0x30}))) ==
               "090000000100000028000000"
               "0100000000000000"
               "1000000000000000"
               "2000000000000000"
               "3000000000000000"
               "0000000000000000");
    const std::vector<MemoryRegion> regions{
        {.guest_address = 0, .size = 0x1000, .user_address = 0x7f00, .offset = 0, .descriptor = 5},
        {.guest_address = 0x100000000, .size = 0x2000, .user_address = 0x8f00, .offset = 0x3000, .descriptor = 6}};
    const auto memory = set_memory(regions);
    BOOST_TEST(hex(bytes_of(memory)) ==
               "050000000100000048000000"
               "0200000000000000"
               "0000000000000000"
               "0010000000000000"
               "007f000000000000"
               "0000000000000000"
               "0000000001000000"
               "0020000000000000"
               "008f000000000000"
               "0030000000000000");
    BOOST_TEST(memory.descriptors == (std::vector<int>{5, 6}), boost::test_tools::per_element());
    BOOST_TEST(hex(bytes_of(get_config(4))) ==
               "180000000100000010000000"
               "000000000400000000000000"
               "00000000");
    const auto area = set_inflight({.size = 0x1000, .offset = 0x10, .queues = 2, .queue_size = 256}, 9);
    BOOST_TEST(hex(bytes_of(area)) ==
               "200000000100000018000000"
               "0010000000000000"
               "1000000000000000"
               "0200000100000000");
    BOOST_TEST(area.descriptors.size() == 1u);
    BOOST_TEST(get_inflight(2, 256).descriptors.empty());
}

BOOST_AUTO_TEST_CASE(answers_are_cut_out_of_the_stream_with_their_descriptors) {
    auto bytes = answer_bytes(1, 5, 8, 42);
    const auto second = answer_bytes(24, 5, 0);
    bytes.insert(bytes.end(), second.begin(), second.end());
    AnswerReader reader;
    const auto answers = read_all(reader, bytes, 1);
    BOOST_REQUIRE(answers.size() == 2u);
    BOOST_TEST(answers[0].request == 1u);
    BOOST_TEST(number_in(answers[0]) == 42u);
    BOOST_TEST(answers[0].descriptors == 1u);
    BOOST_TEST(answers[1].request == 24u);
    BOOST_TEST(answers[1].descriptors == 0u);
    BOOST_TEST(reader.mistake() == "");
}

BOOST_AUTO_TEST_CASE(a_stream_that_is_none_of_the_protocol_ends_the_reading) {
    AnswerReader other_version;
    BOOST_TEST(read_all(other_version, answer_bytes(1, 6, 8)).empty());
    BOOST_TEST(other_version.mistake() == "it speaks version 2 of the protocol, and 1 is there");
    AnswerReader too_long;
    const auto bytes = answer_bytes(1, 5, most_payload + 1);
    BOOST_TEST(read_all(too_long, bytes).empty());
    BOOST_TEST(too_long.mistake() == "it sends a message of 4097 bytes, and 4096 are the most");
    AnswerReader longest;
    BOOST_TEST(read_all(longest, answer_bytes(1, 5, most_payload)).size() == 1u);
}

BOOST_AUTO_TEST_CASE(an_answer_has_to_be_that_of_its_question) {
    const auto question = plain(Request::get_features);
    BOOST_TEST(mistake_in(answer_to(question, 8), question) == "");
    BOOST_TEST(mistake_in(answer_to(question, 4), question) == "its answer to request 1 has 4 bytes");
    BOOST_TEST(mistake_in(answer_to(plain(Request::get_queue_num), 8), question) == "it answers request 1 with 17");
    auto no_answer = answer_to(question, 8);
    no_answer.flags = 1;
    BOOST_TEST(mistake_in(no_answer, question) == "it sends request 1, and was asked for an answer");
    auto gift = answer_to(question, 8);
    gift.descriptors = 1;
    BOOST_TEST(mistake_in(gift, question) == "its answer to request 1 has 1 descriptors in place of 0");

    const auto base = for_ring(Request::get_vring_base, 1, 0);
    BOOST_TEST(mistake_in(answer_to(base, 8, 1), base) == "");
    BOOST_TEST(mistake_in(answer_to(base, 8, 0), base) == "it answers for ring 0 in place of 1");
    BOOST_TEST(mistake_in(answer_to(base, 0), base) != "");

    const auto config = get_config(60);
    BOOST_TEST(mistake_in(answer_to(config, 72), config) == "");
    BOOST_TEST(config_in(answer_to(config, 72))->size() == 60u);
    BOOST_TEST(mistake_in(answer_to(config, 0), config) == "");
    BOOST_TEST(!config_in(answer_to(config, 0)).has_value());
    BOOST_TEST(mistake_in(answer_to(config, 71), config) != "");

    const auto inflight = get_inflight(1, 8);
    auto area = answer_to(inflight, 20);
    BOOST_TEST(mistake_in(area, inflight) == "its answer to request 31 has 0 descriptors in place of 1");
    area.descriptors = 1;
    BOOST_TEST(mistake_in(area, inflight) == "");

    auto set = for_ring(Request::set_vring_num, 0, 8);
    BOOST_TEST(!is_answered(set));
    set.needs_reply = true;
    BOOST_TEST(is_answered(set));
    BOOST_TEST(mistake_in(answer_to(set, 8, 0), set) == "");
    BOOST_TEST(mistake_in(answer_to(set, 8, 1), set) == "it refuses request 8 (its answer is 1)");
}

BOOST_AUTO_TEST_CASE(random_bytes_give_answers_or_one_mistake_and_never_more_than_they_are) {
    std::mt19937 random(1);
    const std::vector<Message> questions{plain(Request::get_features), for_ring(Request::get_vring_base, 0, 0),
                                         get_config(48), get_inflight(1, 8)};
    constexpr std::size_t sizes[]{8, 0, 60, 20, 24};
    unsigned understood = 0;
    for (unsigned round = 0; round < 20000; ++round) {
        const auto& question = questions[round % questions.size()];
        const std::size_t size = random() % 2 == 0 ? sizes[random() % std::size(sizes)] : random() % 100;
        std::vector<std::byte> bytes = answer_bytes(static_cast<std::uint32_t>(question.request), 5, size);
        for (unsigned damage = random() % 4; damage > 0; --damage) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        bytes.resize(random() % 8 == 0 ? random() % (bytes.size() + 1) : bytes.size());
        AnswerReader reader;
        for (const auto& answer : read_all(reader, bytes, random() % 3)) {
            if (!mistake_in(answer, question).empty()) continue;
            ++understood;
            if (question.request == Request::get_config) {
                if (const auto config = config_in(answer)) BOOST_REQUIRE(config->size() == 48u);
            } else if (question.request == Request::get_inflight_fd) {
                static_cast<void>(inflight_in(answer));
            } else {
                static_cast<void>(number_in(answer));
            }
        }
    }
    BOOST_TEST(understood > 300u);
}
