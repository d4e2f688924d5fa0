#include "gdb/register_file.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <string>

#include "gdb/hex.hpp"

using namespace asyncvm;
using namespace asyncvm::gdb;

namespace {

Registers long_mode() {
    Registers registers;
    registers.cr0 = 0x8000'0001;
    registers.efer = 0x500;
    registers.cs.long_mode = true;
    registers.rip = 0xffff'ffff'8100'0000;
    registers.rsp = 0xffff'c900'0000'0000;
    return registers;
}

Registers real_mode() {
    Registers registers;
    registers.cs = {.selector = 0x1000, .base = 0x10000};
    registers.ss = {.selector = 0x2000, .base = 0x20000};
    registers.rip = 0x34;
    registers.rsp = 0x7ffe;
    return registers;
}

unsigned number_of(const RegisterFile& file, std::string_view name) {
    for (unsigned i = 0; i < file.entries().size(); ++i) {
        if (file.entries()[i].name == name) return i;
    }
    BOOST_FAIL("no register " << name);
    return 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_registers)

BOOST_AUTO_TEST_CASE(the_width_is_that_of_the_code) {
    BOOST_TEST((width_of(long_mode()) == Width::long64));
    BOOST_TEST((width_of(real_mode()) == Width::real16));
    Registers registers;
    registers.cr0 = 1;
    BOOST_TEST((width_of(registers) == Width::real16));
    registers.cs.default_32 = true;
    BOOST_TEST((width_of(registers) == Width::protected32));
}

BOOST_AUTO_TEST_CASE(gdb_s_own_numbers) {
    const RegisterFile wide(Width::long64, true);
    BOOST_TEST(number_of(wide, "rsp") == 7u);
    BOOST_TEST(wide.pc() == 16u);
    BOOST_TEST(number_of(wide, "eflags") == 17u);
    BOOST_TEST(number_of(wide, "gs") == 23u);
    BOOST_TEST(wide.general_count() == 24u);
    BOOST_TEST(number_of(wide, "xmm0") == 40u);
    BOOST_TEST(number_of(wide, "mxcsr") == 56u);
    const RegisterFile narrow(Width::protected32, true);
    BOOST_TEST(number_of(narrow, "esp") == 4u);
    BOOST_TEST(narrow.pc() == 8u);
    BOOST_TEST(narrow.general_count() == 16u);
    BOOST_TEST(number_of(narrow, "mxcsr") == 40u);
}

BOOST_AUTO_TEST_CASE(values) {
    const RegisterFile file(Width::long64, true);
    RegisterValues values{.core = long_mode()};
    values.core.rax = 0x1122;
    BOOST_TEST(file.read(values, 0).value() == "2211000000000000");
    BOOST_TEST(file.read(values, file.pc()).value() == "00000081ffffffff");
    BOOST_TEST(file.read(values, number_of(file, "st0")).value() == std::string(20, 'x'));
    BOOST_TEST(file.read(values, number_of(file, "efer")).value() == "0005000000000000");
    BOOST_TEST(!file.read(values, static_cast<unsigned>(file.entries().size())));
    BOOST_TEST(file.write(values, 0, std::string("\1\2\3\4\5\6\7\x08", 8)));
    BOOST_TEST(values.core.rax == 0x0807'0605'0403'0201u);
    BOOST_TEST(!file.write(values, 0, "1234"));
    BOOST_TEST(!file.write(values, number_of(file, "st0"), std::string(10, '1')));
    BOOST_TEST(!file.write(values, number_of(file, "msr_star"), std::string(8, '1')));
    BOOST_TEST(!file.write(values, 1000, "12345678"));
}

BOOST_AUTO_TEST_CASE(what_can_t_be_written_takes_the_value_that_it_has) {
    const RegisterFile file(Width::long64, true);
    RegisterValues values{.core = long_mode()};
    values.core.tr.selector = 0x18;
    BOOST_TEST(file.write(values, number_of(file, "tr"), std::string("\x18\0\0\0", 4)));
    BOOST_TEST(!file.write(values, number_of(file, "tr"), std::string("\x20\0\0\0", 4)));
}

BOOST_AUTO_TEST_CASE(x87_sse_and_avx) {
    for (const bool wide : {false, true}) {
        const RegisterFile file(wide ? Width::long64 : Width::protected32, true);
        RegisterValues values{.fpu = FpuRegisters{}};
        const auto write = [&](const char* name, const std::string& bytes) {
            BOOST_TEST(file.write(values, number_of(file, name), bytes), name);
            BOOST_TEST(file.read(values, number_of(file, name)).value() == to_hex(bytes), name);
        };
        write("st7", "0123456789");
        write("xmm7", "0123456789abcdef");
        write("ymm0h", "fedcba9876543210");
        BOOST_TEST((values.fpu->st[7][0] == std::byte{'0'}));
        BOOST_TEST((values.fpu->xmm[7][15] == std::byte{'f'}));
        BOOST_TEST((values.fpu->ymm_high[0][0] == std::byte{'f'}));
        write("fctrl", std::string("\x7f\2\0\0", 4));
        write("fstat", std::string("\0\x38\0\0", 4));
        write("ftag", std::string("\xfe\xff\0\0", 4));
        write("fop", std::string("\1\2\0\0", 4));
        write("fioff", std::string("\1\2\3\4", 4));
        write("fiseg", std::string("\5\6\0\0", 4));
        write("foseg", std::string("\x9\x8\0\0", 4));
        write("fooff", std::string("\4\3\2\1", 4));
        write("mxcsr", std::string("\x80\x1f\0\0", 4));
        BOOST_TEST(values.fpu->control == 0x27f);
        BOOST_TEST(values.fpu->tags == 0xfffe);
        BOOST_TEST(values.fpu->instruction == 0x605'0403'0201u);
        BOOST_TEST(values.fpu->operand == 0x809'0102'0304u);
        BOOST_TEST(!file.write(values, number_of(file, "xmm0"), "1234"));
        const bool has_more = std::ranges::find(file.entries(), "xmm8", &RegisterEntry::name) != file.entries().end();
        BOOST_TEST(has_more == wide);
    }
    BOOST_TEST(RegisterFile(Width::long64, false).description().find("i386.avx") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(msrs) {
    const RegisterFile file(Width::long64, false);
    RegisterValues values;
    values.msrs[0xc000'0082] = 0x1122;
    const unsigned lstar = number_of(file, "msr_lstar");
    BOOST_TEST(file.read(values, lstar).value() == "2211000000000000");
    BOOST_TEST(file.read(values, number_of(file, "msr_pat")).value() == std::string(16, 'x'));
    BOOST_TEST(file.write(values, lstar, std::string("\1\0\0\0\0\0\0\x80", 8)));
    BOOST_TEST(values.msrs[0xc000'0082] == 0x8000'0000'0000'0001u);
    BOOST_TEST((file.find(lstar)->source == Source::msrs));
}

BOOST_AUTO_TEST_CASE(addresses_are_linear_in_real_mode) {
    for (const Width width : {Width::real16, Width::protected32, Width::long64}) {
        const RegisterFile file(width, true);
        RegisterValues values{.core = real_mode()};
        const Registers& registers = values.core;
        const unsigned sp = number_of(file, width == Width::long64 ? "rsp" : "esp");
        BOOST_TEST(file.read(values, file.pc()).value().starts_with("34000100"));
        BOOST_TEST(file.read(values, sp).value().starts_with("fe7f0200"));
        const std::size_t size = width == Width::long64 ? 8 : 4;
        BOOST_TEST(file.write(values, file.pc(), std::string("\x40\x00\x01\x00\0\0\0\0", 8).substr(0, size)));
        BOOST_TEST(registers.rip == 0x40u);
        // Below the segment: as far as offsets go around.
        BOOST_TEST(file.write(values, file.pc(), std::string("\x00\x80\x00\x00\0\0\0\0", 8).substr(0, size)));
        BOOST_TEST(registers.rip == 0xffff'8000u);
        BOOST_TEST(file.write(values, number_of(file, "cs"), std::string("\x00\x30\0\0", 4)));
        BOOST_TEST(registers.cs.base == 0x30000u);
    }
}

BOOST_AUTO_TEST_CASE(all_general_registers_at_once) {
    for (const Width width : {Width::real16, Width::long64}) {
        const RegisterFile file(width, true);
        const Registers before = width == Width::long64 ? long_mode() : real_mode();
        const auto bytes = from_hex(file.read_general(before)).value();
        Registers registers = before;
        BOOST_TEST(file.write_general(registers, bytes));
        BOOST_TEST(registers.rip == before.rip);
        BOOST_TEST(registers.rsp == before.rsp);
        BOOST_TEST(registers.cs.base == before.cs.base);
        BOOST_TEST(!file.write_general(registers, bytes + "1"));
        std::string changed = bytes;
        changed[0] = 0x55;
        BOOST_TEST(file.write_general(registers, changed));
        BOOST_TEST((registers.rax & 0xff) == 0x55u);
    }
}

BOOST_AUTO_TEST_CASE(a_description_of_32_bits_leaves_the_upper_halves) {
    const RegisterFile file(Width::protected32, true);
    RegisterValues values{.core = real_mode()};
    values.core.rax = 0x1'0000'0000;
    BOOST_TEST(file.write(values, 0, std::string("\5\0\0\0", 4)));
    BOOST_TEST(values.core.rax == 0x1'0000'0005u);
}

BOOST_AUTO_TEST_CASE(the_description_has_each_register_in_order) {
    for (const Width width : {Width::real16, Width::protected32, Width::long64}) {
        const RegisterFile file(width, true);
        const std::string xml = file.description();
        std::size_t at = 0;
        for (const auto& entry : file.entries()) {
            at = xml.find("name=\"" + entry.name + "\" bitsize=\"" + std::to_string(entry.bits), at);
            BOOST_REQUIRE_MESSAGE(at != xml.npos, entry.name);
        }
    }
    BOOST_TEST(RegisterFile(Width::real16, true).description().find("i8086") != std::string::npos);
    BOOST_TEST(RegisterFile(Width::protected32, true).description().find(">i386<") != std::string::npos);
    BOOST_TEST(RegisterFile(Width::long64, true).description().find("i386:x86-64") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
