#include "gdb/command.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>

using namespace asyncvm::gdb;
using Kind = Command::Kind;

namespace {

Kind kind_of(std::string_view packet) { return parse_command(packet).kind; }

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_commands)

BOOST_AUTO_TEST_CASE(simple_ones) {
    BOOST_TEST((kind_of("?") == Kind::why_stopped));
    BOOST_TEST((kind_of("g") == Kind::read_registers));
    BOOST_TEST((kind_of("!") == Kind::extended));
    BOOST_TEST((kind_of("D") == Kind::detach));
    BOOST_TEST((kind_of("D;1") == Kind::detach));
    BOOST_TEST((kind_of("k") == Kind::kill_and_tell));
    BOOST_TEST((kind_of("vKill;1") == Kind::kill));
    BOOST_TEST((kind_of("vCont?") == Kind::can_vcont));
    BOOST_TEST((kind_of("QStartNoAckMode") == Kind::no_acks));
    BOOST_TEST((kind_of("qfThreadInfo") == Kind::first_threads));
    BOOST_TEST((kind_of("qsThreadInfo") == Kind::more_threads));
    BOOST_TEST((kind_of("qAttached:1") == Kind::attached));
    BOOST_TEST((kind_of("qC") == Kind::current_thread));
    BOOST_TEST((kind_of("Hc-1") == Kind::accept));
    BOOST_TEST((kind_of("qSymbol::") == Kind::accept));
    for (const char* const packet : {"", "vMustReplyEmpty", "qTStatus", "vFile:setfs:0", "QNonStop:1", "~", "qOffsets"}) {
        BOOST_TEST((kind_of(packet) == Kind::unknown), packet);
    }
}

BOOST_AUTO_TEST_CASE(memory) {
    const auto read = parse_command("mffffffff81000000,40");
    BOOST_TEST((read.kind == Kind::read_memory));
    BOOST_TEST(read.address == 0xffff'ffff'8100'0000u);
    BOOST_TEST(read.length == 0x40u);
    BOOST_TEST((kind_of("x10,20") == Kind::read_bytes));
    const auto write = parse_command("M1000,2:cc90");
    BOOST_TEST((write.kind == Kind::write_memory));
    BOOST_TEST(write.data == "\xcc\x90");
    BOOST_TEST(parse_command("X1000,3:a:b").data == "a:b");
    for (const char* const packet : {"m", "m10", "m10,", "m,10", "mx,1", "m10,1,2", "m11112222333344445,1", "M0,1",
                                     "M0,2:cc", "M0,1:c", "M0,1:xx", "X0,2:abc"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
}

BOOST_AUTO_TEST_CASE(registers) {
    const auto read = parse_command("p1f");
    BOOST_TEST((read.kind == Kind::read_register));
    BOOST_TEST(read.number == 0x1fu);
    const auto write = parse_command("P10=0001000000000000");
    BOOST_TEST((write.kind == Kind::write_register));
    BOOST_TEST(write.number == 0x10u);
    BOOST_TEST(write.data == std::string("\0\1\0\0\0\0\0\0", 8));
    BOOST_TEST(parse_command("G0102").data == "\1\2");
    for (const char* const packet : {"p", "pg", "p100000000", "P1", "P1=0", "P1=zz", "G0", "Gx", "g1"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
}

BOOST_AUTO_TEST_CASE(breakpoints) {
    const auto insert = parse_command("Z1,100000,1");
    BOOST_TEST((insert.kind == Kind::insert));
    BOOST_TEST(insert.number == 1u);
    BOOST_TEST(insert.address == 0x100000u);
    BOOST_TEST((kind_of("z0,100000,1") == Kind::remove));
    const auto conditional = parse_command("Z1,10008,1;X3,220127X1,27;cmds:0,X1,27");
    BOOST_TEST((conditional.kind == Kind::insert));
    BOOST_TEST(conditional.length == 1u);
    BOOST_TEST(conditional.conditions == (std::vector<std::string>{"\x22\x01\x27", "\x27"}),
               boost::test_tools::per_element());
    BOOST_TEST(conditional.commands == (std::vector<std::string>{"\x27"}), boost::test_tools::per_element());
    BOOST_TEST(!conditional.persist);
    const auto prints = parse_command("Z0,1,1;cmds:1,X1,27X2,2227");
    BOOST_TEST(prints.conditions.empty());
    BOOST_TEST(prints.commands == (std::vector<std::string>{"\x27", "\x22\x27"}), boost::test_tools::per_element());
    BOOST_TEST(prints.persist);
    for (const char* const packet : {"Z0,1,1;X", "Z0,1,1;X1", "Z0,1,1;X1,", "Z0,1,1;X1,2", "Z0,1,1;X1,zz", "Z0,1,1;X2,27",
                                     "Z0,1,1;X1,2727", "Z0,1,1;Xffffffffffffffff,27", "Z0,1,1;X1,27,", "Z0,1,1;cmds:",
                                     "Z0,1,1;cmds:1", "Z0,1,1;cmds:1,", "Z0,1,1;cmds:X1,27", "Z0,1,1;cmds:2,X1,27",
                                     "Z0,1,1;cmds:1,X2,27", "Z0,1,1;cmds:1,X1,27,", "Z0,1,1;X1,27cmds:1,X1,27"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
    for (const char* const packet : {"Z", "Z5,1,1", "Z0", "Z0,1", "z0,1,"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
}

BOOST_AUTO_TEST_CASE(going_on) {
    const auto step = parse_command("vCont;s:p1.2;c:p1.-1");
    BOOST_TEST((step.kind == Kind::resume));
    BOOST_REQUIRE(step.actions.size() == 2u);
    BOOST_TEST(step.actions[0].step);
    BOOST_TEST(step.actions[0].thread == 2);
    BOOST_TEST(!step.actions[1].step);
    BOOST_TEST(step.actions[1].thread == ThreadAction::all);
    const auto range = parse_command("vCont;r10000,1000c:2;c");
    BOOST_TEST(range.actions.at(0).step);
    BOOST_TEST(range.actions.at(0).from == 0x10000u);
    BOOST_TEST(range.actions.at(0).until == 0x1000cu);
    BOOST_TEST(range.actions.at(0).thread == 2);
    BOOST_TEST(!range.actions.at(1).step);
    const auto plain = parse_command("vCont;C05:1;c");
    BOOST_REQUIRE(plain.actions.size() == 2u);
    BOOST_TEST(!plain.actions[0].step);
    BOOST_TEST(plain.actions[1].thread == ThreadAction::all);
    BOOST_TEST(parse_command("s").actions.at(0).step);
    BOOST_TEST(!parse_command("C05").actions.at(0).step);
    BOOST_TEST(parse_command("vCont;s:p1").actions.at(0).thread == ThreadAction::all);
    for (const char* const packet : {"vCont", "vCont;", "vCont;x", "vCont;s:", "vCont;s:q", "vCont;C", "vCont;c1", "vCont;r",
                                     "vCont;r1", "vCont;r1,", "vCont;r1:1", "c100", "C", "vCont;s:fffffffff"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
}

BOOST_AUTO_TEST_CASE(threads) {
    BOOST_TEST(parse_command("Hg3").thread == 3);
    BOOST_TEST(parse_command("Hgp1.3").thread == 3);
    BOOST_TEST(parse_command("Hg-1").thread == ThreadAction::all);
    BOOST_TEST(parse_command("T2").thread == 2);
    BOOST_TEST(parse_command("qThreadExtraInfo,1").thread == 1);
    for (const char* const packet : {"Hg", "Hx1", "H", "T", "Tx", "T1x", "qThreadExtraInfo,"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
}

BOOST_AUTO_TEST_CASE(questions) {
    BOOST_TEST(parse_command("qSupported:multiprocess+;swbreak+").data == "multiprocess+;swbreak+");
    const auto object = parse_command("qXfer:features:read:target.xml:0,ffb");
    BOOST_TEST((object.kind == Kind::read_object));
    BOOST_TEST(object.data == "features");
    BOOST_TEST(object.text == "target.xml");
    BOOST_TEST(object.length == 0xffbu);
    BOOST_TEST((kind_of("qXfer:features:write:target.xml:0:") == Kind::unknown));
    BOOST_TEST(parse_command("qRcmd,696e666f").data == "info");
    BOOST_TEST((kind_of("qqemu.PhyMemMode") == Kind::physical_mode));
    BOOST_TEST(parse_command("Qqemu.PhyMemMode:1").number == 1u);
    for (const char* const packet :
         {"qXfer:features", "qXfer:features:read:", "qXfer:features:read:a:0", "qRcmd,1", "Qqemu.PhyMemMode:2"}) {
        BOOST_TEST((kind_of(packet) == Kind::malformed), packet);
    }
}

BOOST_AUTO_TEST_SUITE_END()
