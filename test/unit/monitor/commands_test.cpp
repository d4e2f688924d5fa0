// The table of commands, on a machine whose vCPUs do nothing.
#define BOOST_TEST_MODULE monitor_commands
#include "monitor/commands.hpp"

#include "../machine/fake_accelerator.hpp"
#include "../report/bytes.hpp"
#include "monitor/human_error.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

using namespace asyncvm;
using namespace asyncvm::monitor;
using namespace asyncvm::test;

namespace {

/// As a debugger has it: registers that the vCPUs do not have.
class Own : public View {
public:
    using View::View;
    [[nodiscard]] awaitable<Registers> registers(unsigned cpu) override { return make(cpu); }
    [[nodiscard]] awaitable<std::optional<InterruptState>> interrupts(unsigned cpu) override { return make_interrupts(cpu); }

    bool irqchip = true;

private:
    static awaitable<Registers> make(unsigned cpu) {
        Registers registers;
        registers.rax = 0x100 + cpu;
        registers.cr0 = 0x8000'0001;
        registers.cr3 = 0x1000;
        registers.cr4 = 1u << 4;
        co_return registers;
    }
    awaitable<std::optional<InterruptState>> make_interrupts(unsigned cpu) const {
        std::optional<InterruptState> state;
        if (irqchip) {
            state.emplace();
            state->local.base = 0xfee0'0900 + (std::uint64_t{cpu} << 12);
        }
        co_return state;
    }
};

struct Machines {
    Machines() { put_number(machine.memory(), 0x1004, std::uint32_t{0x83}); }

    static MachineConfig config() {
        MachineConfig config;
        config.memory_size = 1 << 20;
        config.cpus = 2;
        return config;
    }

    /// What is printed; "-": it is not one of these; "! ...": it is wrong.
    std::string say(View& view, std::string line, unsigned cpu = 0) {
        std::string said = "nothing";
        const auto keep = [&said](const std::exception_ptr& failure, std::optional<std::string> text) {
            try {
                if (failure) std::rethrow_exception(failure);
                said = text ? *std::move(text) : "-";
            } catch (const HumanError& error) {
                said = std::string("! ") + error.what();
            }
        };
        asio::co_spawn(loop, answer(view, std::move(line), cpu), keep);
        loop.restart();
        loop.run();
        return said;
    }
    std::string say(std::string line, unsigned cpu = 0) { return say(own, std::move(line), cpu); }

    Fakes fakes;
    asio::io_context loop{1};
    Machine machine{config(), fake_maker(fakes), loop};
    Own own{machine};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(commands_of_people, Machines)

BOOST_AUTO_TEST_CASE(each_command_answers) {
    BOOST_TEST(say("x /1xw 0x400004") == "0000000000400004: 0x00000000\n");
    BOOST_TEST(say("xp/1xw 0x1004") == "0000000000001004: 0x00000083\n");
    BOOST_TEST(say("print $rax") == "0x100\n");
    BOOST_TEST(say("p/d 2-3") == "-1\n");
    BOOST_TEST(say("gva2gpa 0x400010") == "gpa: 0x10\n");
    BOOST_TEST(say("gva2gpa 0") == "Unmapped\n");
    BOOST_TEST(say("tlb 0x400010") == "0x400010 is at 0x10, in a page of 4096 KiB\n");
    BOOST_TEST(say("info mem") == "0000000000400000-0000000000800000 0000000000400000 -rw\n");
    BOOST_TEST(say("info tlb") == "0000000000400000: 0000000000000000 --P-----W\n");
    BOOST_TEST(contains(say("info mtree"), "local APIC"));
    BOOST_TEST(say("info exits", 1) == "vCPU 1 has not begun\n");
    const auto controllers = say("info irqchip", 1);
    BOOST_TEST(controllers.starts_with("8259A, master"));
    BOOST_TEST(contains(controllers, "local APIC of vCPU 1: at 0xfee01000"));
    BOOST_TEST(say("info pic", 1) == controllers);
    BOOST_TEST(say("info lapic", 1).starts_with("local APIC of vCPU 1: at 0xfee01000"));
    for (const Command& command : commands()) BOOST_TEST(say(std::string(command.name)) != "-", command.name);
}

BOOST_AUTO_TEST_CASE(where_there_are_no_interrupt_controllers) {
    own.irqchip = false;
    BOOST_TEST(say("info irqchip").starts_with("the accelerator has no interrupt controllers"));
    BOOST_TEST(say("info lapic").starts_with("the accelerator has no interrupt controllers"));
    BOOST_TEST(!contains(say("info mtree"), "APIC"));
}

BOOST_AUTO_TEST_CASE(of_one_vcpu_of_another_and_of_all) {
    BOOST_TEST(say("p $rax", 1) == "0x101\n");
    const auto first = say("info registers");
    const auto second = say("info registers", 1);
    BOOST_TEST(contains(first, "CPU#0\nEAX=00000100"));
    BOOST_TEST(contains(second, "CPU#1\nEAX=00000101"));
    BOOST_TEST(say("info registers -a") == first + second);
    BOOST_TEST(say("info registers 1") == second);
    BOOST_TEST(say("info registers 1-1", 1) == first);
    BOOST_TEST(say("info registers 2") == "CPU#2 not available\n");
    BOOST_TEST(say("info registers -1") == "CPU#18446744073709551615 not available\n");
    BOOST_TEST(say("info lapic 1").starts_with("local APIC of vCPU 1: at 0xfee01000"));
    BOOST_TEST(say("info lapic 2") == "No CPU available\n");
}

BOOST_AUTO_TEST_CASE(names_are_whole_words_and_blanks_do_not_matter) {
    BOOST_TEST(say(" \tinfo   mem \r\n") == say("info mem"));
    BOOST_TEST(say("  p   1+1 ") == "0x2\n");
    for (const char* const other :
         {"", " ", "info", "info m", "info memo", "infomem", "xx 1", "/x", "tlbs 1", "info/mem", "q"})
        BOOST_TEST(say(other) == "-", other);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said) {
    BOOST_TEST(say("x") == "! unexpected end of expression");
    BOOST_TEST(say("info mem 1") == "! extraneous characters at the end of line");
    BOOST_TEST(say("info exits 1") == "! extraneous characters at the end of line");
    BOOST_TEST(say("info registers x") == "! invalid char 'x' in expression");
    BOOST_TEST(say("tlb") == "! tlb needs an address (example: tlb 0xffffffff81000000)");
    BOOST_TEST(say("tlb x") == "! invalid char 'x' in expression");
    BOOST_TEST(contains(say("xp /1048577xb 0"), "at most 1048576 bytes"));
}

BOOST_AUTO_TEST_CASE(an_address_of_tlb_is_a_number_of_any_kind_or_an_expression) {
    BOOST_TEST(contains(say("tlb 0b1"), "0x1 is not mapped"));
    BOOST_TEST(contains(say("tlb 010"), "0xa is not mapped"));
    BOOST_TEST(contains(say("tlb $rax*2"), "0x200 is not mapped"));
}

BOOST_AUTO_TEST_CASE(a_plain_view_asks_the_vcpu) {
    View plain(machine);
    Registers registers;
    registers.rax = 7;
    machine.set_registers(0, registers);
    BOOST_TEST(say(plain, "p $rax") == "0x7\n");
    BOOST_TEST(say(plain, "info lapic").starts_with("the accelerator has no interrupt controllers"));
}

BOOST_AUTO_TEST_SUITE_END()
