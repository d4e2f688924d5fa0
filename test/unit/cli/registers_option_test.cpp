#include "cli/option_values.hpp"

#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::cli;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

Registers with(std::string_view text, Mode mode = Mode::real16) {
    Registers registers;
    registers.rax = registers.r8 = ~std::uint64_t{0};
    apply(registers, parse_register(text), mode);
    return registers;
}

std::string error_of(std::string_view text, Mode mode = Mode::real16) {
    return message_of(ErrorKind::usage, [&] { static_cast<void>(with(text, mode)); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(general_registers_take_all_kinds_of_numbers) {
    BOOST_TEST(with("rax=42").rax == 42u);
    BOOST_TEST(with("RBX=0x2a").rbx == 42u);
    BOOST_TEST(with("rcx=0b101010").rcx == 42u);
    BOOST_TEST(with("rdx=0o52").rdx == 42u);
    BOOST_TEST(with("rsi=-1").rsi == ~std::uint64_t{0});
    BOOST_TEST(with("rdi=0xffffffffffffffff").rdi == ~std::uint64_t{0});
    BOOST_TEST(with("rsp=-9223372036854775808").rsp == std::uint64_t{1} << 63);
    BOOST_TEST(with("rbp=1").rbp == 1u);
    BOOST_TEST(with("r15=7").r15 == 7u);
}

BOOST_AUTO_TEST_CASE(narrow_names_set_the_whole_register) {
    BOOST_TEST(with("eax=2").rax == 2u);
    BOOST_TEST(with("ax=-1").rax == 0xffffu);
    BOOST_TEST(with("al=255").rax == 0xffu);
    BOOST_TEST(with("al=-128").rax == 0x80u);
    BOOST_TEST(with("r8d=-2").r8 == 0xffff'fffeu);
    BOOST_TEST(with("r8w=1").r8 == 1u);
    BOOST_TEST(with("r8b=1").r8 == 1u);
    BOOST_TEST(with("sil=1").rsi == 1u);
}

BOOST_AUTO_TEST_CASE(values_must_fit_their_register) {
    BOOST_TEST(error_of("al=256") == "--reg al=256: al takes at most 0xff");
    BOOST_TEST(error_of("eax=0x100000000") == "--reg eax=0x100000000: eax takes at most 0xffffffff");
    BOOST_TEST(contains(error_of("al=-129"), "too small for al"));
    BOOST_TEST(contains(error_of("rax=-9223372036854775809"), "too small for rax"));
    BOOST_TEST(contains(error_of("rax=18446744073709551616"), "is no number of 64 bits"));
    BOOST_TEST(contains(error_of("cs=0x10000"), "cs takes at most 0xffff"));
}

BOOST_AUTO_TEST_CASE(a_cpu_may_stand_in_front) {
    const RegisterSetting setting = parse_register("3:rax=1");
    BOOST_TEST((setting.cpu == 3u));
    BOOST_TEST(!parse_register("rax=1").cpu);
    BOOST_TEST(contains(error_of("x:rax=1"), "\"x\" is no number of a vCPU"));
    BOOST_TEST(contains(error_of(":rax=1"), "\"\" is no number of a vCPU"));
    BOOST_TEST(contains(error_of("99999999999:rax=1"), "is no number of a vCPU"));
}

BOOST_AUTO_TEST_CASE(settings_reach_their_own_cpu_and_the_last_one_counts) {
    const std::vector<RegisterSetting> settings{parse_register("rax=1"), parse_register("1:rax=2"), parse_register("rbx=3"),
                                                parse_register("rbx=4")};
    Registers first;
    Registers second;
    apply_all(first, 0, settings, Mode::long64);
    apply_all(second, 1, settings, Mode::long64);
    BOOST_TEST(first.rax == 1u);
    BOOST_TEST(second.rax == 2u);
    BOOST_TEST(second.rbx == 4u);
    BOOST_CHECK_NO_THROW(check_cpus(settings, 2));
    BOOST_TEST(message_of(ErrorKind::usage, [&] { check_cpus(settings, 1); }) ==
               "--reg 1:rax=2: there is no vCPU 1: with --cpus 1 they are 0 to 0");
}

BOOST_AUTO_TEST_CASE(the_instruction_pointer_stays_in_reach_of_the_mode) {
    BOOST_TEST(with("rip=0xffff").rip == 0xffffu);
    BOOST_TEST(with("ip=1").rip == 1u);
    BOOST_TEST(contains(error_of("rip=0x10000"), "an offset into the code segment, at most 0xffff"));
    BOOST_TEST(with("eip=0xffffffff", Mode::protected32).rip == 0xffff'ffffu);
    BOOST_TEST(contains(error_of("rip=0x100000000", Mode::protected32), "at most 0xffffffff"));
    BOOST_TEST(with("rip=0xffff800000000000", Mode::long64).rip == 0xffff'8000'0000'0000u);
    BOOST_TEST(contains(error_of("rip=0x800000000000", Mode::long64), "no canonical address"));
    BOOST_TEST(contains(error_of("rip=-1", Mode::long64), "rip can't be negative"));
}

BOOST_AUTO_TEST_CASE(flags_that_no_processor_enters_with_are_refused) {
    BOOST_TEST(with("rflags=0").rflags == 2u);
    BOOST_TEST(with("eflags=0x202").rflags == 0x202u);
    BOOST_TEST(with("flags=0x3001").rflags == 0x3003u);
    BOOST_TEST(contains(error_of("rflags=0x20000"), "bits 0x20000 can't be set"));
    BOOST_TEST(contains(error_of("rflags=0x400028"), "bits 0x400028 can't be set"));
}

BOOST_AUTO_TEST_CASE(segments_of_real_mode_get_their_base) {
    const Registers registers = with("ds=0xb800");
    BOOST_TEST(registers.ds.selector == 0xb800);
    BOOST_TEST(registers.ds.base == 0xb8000u);
    BOOST_TEST(registers.ds.type == 3);
    BOOST_TEST(registers.ds.present);
    BOOST_TEST(with("cs=0x7c0").cs.base == 0x7c00u);
    BOOST_TEST(with("cs=0x7c0").cs.type == 11);
    BOOST_TEST(with("ss=1").ss.base == 16u);
    BOOST_TEST(with("es=1").es.base == 16u);
    BOOST_TEST(with("fs=1").fs.base == 16u);
    BOOST_TEST(with("gs=1").gs.base == 16u);
    BOOST_TEST(contains(error_of("ds=8", Mode::protected32), "in 16-bit mode only"));
    BOOST_TEST(contains(error_of("ds=8", Mode::long64), "in 16-bit mode only"));
    BOOST_TEST(contains(error_of("ds=-1"), "can't be negative"));
}

BOOST_AUTO_TEST_CASE(what_is_no_setting_says_how_one_looks) {
    BOOST_TEST(contains(error_of("rax"), "it must be NAME=VALUE or CPU:NAME=VALUE (example: rax=0x2a)"));
    BOOST_TEST(contains(error_of(""), "it must be NAME=VALUE"));
    BOOST_TEST(contains(error_of("=1"), "there is no register \"\""));
    BOOST_TEST(contains(error_of("rax="), "\"\" is no number"));
    BOOST_TEST(contains(error_of("rax=-"), "is no number"));
    BOOST_TEST(contains(error_of("rax=1=2"), "\"1=2\" is no number"));
    BOOST_TEST(contains(error_of("cr0=1"), "there is no register \"cr0\" (rax rbx"));
    BOOST_TEST(contains(error_of("ah=1"), "there is no register \"ah\""));
    BOOST_TEST(contains(error_of("r16=1"), "there is no register \"r16\""));
}

BOOST_AUTO_TEST_CASE(garbage_in_front_of_a_register_is_refused_without_harm) {
    std::mt19937 random(1);
    const std::string letters = "raxebp0123456789:=-x\xff ";
    for (int i = 0; i < 20000; ++i) {
        std::string text(random() % 16, '?');
        for (char& c : text) c = letters[random() % letters.size()];
        try {
            static_cast<void>(with(text));
        } catch (const Error& error) {
            BOOST_REQUIRE((error.kind() == ErrorKind::usage));
        }
    }
}
