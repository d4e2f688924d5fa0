// Whatever comes as a stream, as a packet or as registers: nothing crashes, and no packet is longer than it may be.
#include <boost/test/unit_test.hpp>

#include <random>
#include <string>
#include <vector>

#include "gdb/command.hpp"
#include "gdb/packet.hpp"
#include "gdb/register_file.hpp"
#include "packets.hpp"

using namespace asyncvm;
using namespace asyncvm::gdb;

namespace {

constexpr const char* packets[] = {"qSupported:multiprocess+;swbreak+",
                                   "vCont;s:p1.1;c:p1.-1",
                                   "m10000,40",
                                   "Z0,1000,1",
                                   "Z0,1000,1;X3,220127X4,22002227",
                                   "Z0,1000,1;X3,220127;cmds:1,Xf,220122002200340100032564000027",
                                   "vCont;r1000,1010:1;c",
                                   "qXfer:features:read:target.xml:0,ffb",
                                   "P10=0001000000000000",
                                   "X1000,3:a:b",
                                   "Hgp1.1",
                                   "M1000,2:cc90",
                                   "qRcmd,696e666f",
                                   "G00112233",
                                   "qThreadExtraInfo,1",
                                   "z2,1000,8"};

/// A packet that gdb may send, with a few bytes changed, doubled or cut off.
std::string spoilt(std::mt19937_64& random) {
    std::string text = packets[random() % std::size(packets)];
    for (auto times = random() % 4; times > 0 && !text.empty(); --times) {
        const std::size_t at = random() % text.size();
        switch (random() % 4) {
            case 0:
                text[at] = static_cast<char>(random());
                break;
            case 1:
                text.erase(at);
                break;
            case 2:
                text.insert(at, text);
                break;
            default:
                text[at] = ":;,.-0f#$}*"[random() % 11];
        }
    }
    return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_fuzz)

BOOST_AUTO_TEST_CASE(streams_and_packets) {
    std::mt19937_64 random(1);
    PacketReader reader;
    std::vector<Received> all;
    std::size_t packets_seen = 0;
    for (int round = 0; round < 20'000; ++round) {
        const std::string text = spoilt(random);
        static_cast<void>(parse_command(text));
        BOOST_REQUIRE(test::unpack(frame(text)) == text);
        const std::string stream = random() % 2 == 0 ? frame(text) : text;
        all = test::received(reader, stream);
        for (const Received& one : all) {
            BOOST_REQUIRE(one.text.size() <= PacketReader::longest);
            static_cast<void>(parse_command(one.text));
            if (one.kind == Received::Kind::packet) ++packets_seen;
        }
    }
    BOOST_TEST(packets_seen > 5'000u);
}

BOOST_AUTO_TEST_CASE(registers) {
    std::mt19937_64 random(2);
    for (const Width width : {Width::real16, Width::protected32, Width::long64}) {
        const RegisterFile file(width, width != Width::real16);
        RegisterValues values{.fpu = FpuRegisters{}, .msrs = {{0xc000'0081, 0}}};
        Registers& registers = values.core;
        for (int round = 0; round < 5'000; ++round) {
            const auto number = static_cast<unsigned>(random() % (file.entries().size() + 2));
            std::string bytes(random() % 20, '\0');
            for (char& byte : bytes) byte = static_cast<char>(random());
            const bool written = file.write(values, number, bytes);
            const auto read = file.read(values, number);
            BOOST_REQUIRE(read.has_value() == (number < file.entries().size()));
            BOOST_REQUIRE(!written || bytes.size() == file.entries()[number].bits / 8);
            static_cast<void>(file.write_general(registers, bytes));
            static_cast<void>(file.read_general(registers));
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
