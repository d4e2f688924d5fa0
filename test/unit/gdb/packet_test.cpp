#include "gdb/packet.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "packets.hpp"

using namespace asyncvm::gdb;
using asyncvm::test::received;
using asyncvm::test::unpack;

BOOST_AUTO_TEST_SUITE(gdb_packets)

BOOST_AUTO_TEST_CASE(packets_come_out_however_the_stream_is_cut) {
    const std::string stream = "+" + frame("qSupported:a;b") + "\x03$g#67+";
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
        PacketReader reader;
        std::vector<Received> all;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            reader.take(std::as_bytes(std::span(stream).subspan(at, std::min(piece, stream.size() - at))), all);
        }
        BOOST_REQUIRE(all.size() == 3u);
        BOOST_TEST((all[0].kind == Received::Kind::packet));
        BOOST_TEST(all[0].text == "qSupported:a;b");
        BOOST_TEST((all[1].kind == Received::Kind::interrupt));
        BOOST_TEST(all[2].text == "g");
    }
}

BOOST_AUTO_TEST_CASE(a_wrong_checksum_is_noticed_unless_the_stream_is_trusted) {
    PacketReader reader;
    BOOST_TEST((received(reader, "$g#68").at(0).kind == Received::Kind::damaged));
    BOOST_TEST((received(reader, "$g#xy").at(0).kind == Received::Kind::damaged));
    reader.trust();
    BOOST_TEST((received(reader, "$g#68").at(0).kind == Received::Kind::packet));
}

BOOST_AUTO_TEST_CASE(escapes_are_undone) {
    PacketReader reader;
    reader.trust();
    BOOST_TEST(received(reader, "$X0,4:}\x03}\x04}]}\n#00").at(0).text == "X0,4:#$}*");
}

BOOST_AUTO_TEST_CASE(a_packet_that_was_cut_off_does_not_spoil_the_next) {
    PacketReader reader;
    const auto all = received(reader, "$m1234$g#67");
    BOOST_REQUIRE(all.size() == 1u);
    BOOST_TEST(all[0].text == "g");
}

BOOST_AUTO_TEST_CASE(a_packet_that_is_too_long_is_damaged_and_no_memory_is_lost_to_it) {
    PacketReader reader;
    reader.trust();
    BOOST_TEST(received(reader, "$" + std::string(PacketReader::longest, 'a') + "#00").at(0).text.size() ==
               PacketReader::longest);
    BOOST_TEST(
        (received(reader, "$" + std::string(PacketReader::longest + 1, 'a') + "#00").at(0).kind == Received::Kind::damaged));
    BOOST_TEST(received(reader, "$g#00").at(0).text == "g");
}

BOOST_AUTO_TEST_CASE(a_request_for_the_last_reply) {
    PacketReader reader;
    BOOST_TEST((received(reader, "-").at(0).kind == Received::Kind::resend));
}

BOOST_AUTO_TEST_CASE(frames) {
    BOOST_TEST(frame("") == "$#00");
    BOOST_TEST(frame("OK") == "$OK#9a");
    BOOST_TEST(frame("0000") == "$0* #7a");  // the example of gdb's manual
    BOOST_TEST(frame("000") == "$000#90");
    BOOST_TEST(frame("a#b$c}d*e")
                   .starts_with("$a}\x03"
                                "b}\x04"
                                "c}]d}\ne#"));
}

BOOST_AUTO_TEST_CASE(what_is_framed_comes_out_again) {
    for (std::size_t run = 0; run < 300; ++run) {
        const std::string text = "x" + std::string(run, '0') + "y" + std::string(run % 7, '#');
        BOOST_REQUIRE(unpack(frame(text)) == text);
        const std::string packet = frame(std::string(run, '0'));
        for (std::size_t at = packet.find('*'); at < packet.size(); at = packet.find('*', at + 2)) {
            BOOST_REQUIRE(std::string_view("#$+-").find(packet[at + 1]) == std::string_view::npos);
        }
    }
    BOOST_TEST(frame(std::string(4000, '0')).size() < 200u);
}

BOOST_AUTO_TEST_SUITE_END()
