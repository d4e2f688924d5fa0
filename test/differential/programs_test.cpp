#define BOOST_TEST_MODULE programs
#include <asyncvm/accelerator.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "both_or_skip.hpp"
#include "generator.hpp"
#include "boot/initial_state.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

constexpr std::uint64_t code_at = 0x10000;
constexpr std::uint64_t data_at = 0x15000;
constexpr std::uint64_t stack_at = 0x18000;
constexpr std::uint64_t compared_from = data_at - 0x200;
constexpr std::uint64_t compared_flags = 0xcd5;  // CF, PF, AF, ZF, SF, DF, OF
constexpr unsigned instructions = 30;

const char* name_of(Mode mode) { return mode == Mode::real16 ? "16-bit" : mode == Mode::protected32 ? "32-bit" : "64-bit"; }

std::array<std::uint64_t Registers::*, 17> compared_registers() {
    return {&Registers::rax, &Registers::rbx, &Registers::rcx, &Registers::rdx, &Registers::rsi, &Registers::rdi,
            &Registers::rsp, &Registers::rbp, &Registers::r8,  &Registers::r9,  &Registers::r10, &Registers::r11,
            &Registers::r12, &Registers::r13, &Registers::r14, &Registers::r15, &Registers::rip};
}

/// One vCPU that runs program after program.
class Subject {
public:
    Subject(std::unique_ptr<Accelerator> accelerator, Mode mode) : mode_(mode), accelerator_(std::move(accelerator)) {
        initial_ = initial_registers(memory_, mode, code_at);
        accelerator_->map(memory_);
        cpu_ = accelerator_->create_cpu(0);
    }

    Exit run(const Program& program, std::uint64_t seed) {
        std::mt19937_64 random(seed);
        std::array<std::uint64_t, 128> data{};
        for (std::uint64_t& word : data) word = random();
        memory_.write(compared_from, std::as_bytes(std::span(data)));
        memory_.write(code_at, std::as_bytes(std::span(program.code)));
        Registers registers = initial_;
        const std::uint64_t mask = mode_ == Mode::long64 ? ~0ull : 0xffff'ffff;
        for (const auto place : compared_registers()) {
            const std::uint64_t word = random();
            const bool small = word % 4 == 0;
            if (place != &Registers::rip) registers.*place = (small ? word >> 58 : random()) & mask;
        }
        if (mode_ != Mode::long64) {
            for (unsigned i = 8; i < 16; ++i) registers.*compared_registers()[i] = 0;
        }
        registers.rbx = data_at - registers.ds.base;
        registers.rsp = stack_at - registers.ss.base;
        cpu_->set_registers(registers);
        Exit exit = cpu_->run();
        while (std::holds_alternative<Interrupted>(exit)) exit = cpu_->run();  // the process was stopped for a while
        after = cpu_->registers();
        memory_.read(compared_from, std::as_writable_bytes(std::span(memory_after)));
        return exit;
    }

    Registers after;
    std::array<std::uint8_t, 0x400> memory_after{};

private:
    const Mode mode_;
    GuestMemory memory_{1 << 20};
    std::unique_ptr<Accelerator> accelerator_;
    Registers initial_;
    std::unique_ptr<Cpu> cpu_;
};

/// Empty: alike.
std::string difference(const Subject& kvm, const Subject& unicorn, const Program& program) {
    static constexpr std::array names{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8",
                                      "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
    std::string text;
    const auto note = [&](const char* name, std::uint64_t a, std::uint64_t b) {
        char line[96];
        if (a != b) text += (std::snprintf(line, sizeof line, " %s: kvm %lx, unicorn %lx;", name, a, b), line);
    };
    const auto places = compared_registers();
    for (std::size_t i = 0; i < places.size(); ++i) note(names[i], kvm.after.*places[i], unicorn.after.*places[i]);
    const std::uint64_t flags = compared_flags & ~program.undefined_flags;
    note("rflags", kvm.after.rflags & flags, unicorn.after.rflags & flags);
    if (kvm.memory_after != unicorn.memory_after) text += " the memory";
    return text;
}

std::string dump(const Program& program) {
    std::string text;
    char byte[8];
    for (const std::uint8_t value : program.code) text += (std::snprintf(byte, sizeof byte, "%02x ", value), byte);
    return text;
}

unsigned programs_a_mode() {
    const char* const wanted = std::getenv("ASYNCVM_PROGRAMS");
    return wanted == nullptr ? 1000 : static_cast<unsigned>(std::strtoul(wanted, nullptr, 10));
}

void compare(Mode mode) {
    Subject kvm(make_kvm_accelerator(), mode);
    Subject unicorn(make_unicorn_accelerator(), mode);
    const unsigned count = programs_a_mode();
    unsigned compared = 0;
    for (std::uint64_t seed = 1; seed <= count; ++seed) {
        const Program program = generate_program(seed, mode, instructions);
        const Exit on_kvm = kvm.run(program, seed);
        // Some software KVMs lack an instruction or two.
        if (const auto* failure = std::get_if<Failure>(&on_kvm);
            failure != nullptr && failure->kind == Failure::Kind::emulation)
            continue;
        const Exit on_unicorn = unicorn.run(program, seed);
        BOOST_REQUIRE_MESSAGE(std::holds_alternative<Halted>(on_kvm), "program " << seed << " on KVM: " << dump(program));
        BOOST_REQUIRE_MESSAGE(std::holds_alternative<Halted>(on_unicorn),
                              "program " << seed << " on Unicorn: " << dump(program));
        const std::string different = difference(kvm, unicorn, program);
        BOOST_REQUIRE_MESSAGE(different.empty(), name_of(mode) << " program " << seed << ":" << different << "\n"
                                                               << dump(program));
        ++compared;
    }
    std::printf("%u %s programs of %u instructions are alike on KVM and Unicorn (%u more cannot run on this KVM)\n",
                compared, name_of(mode), instructions, count - compared);
    BOOST_TEST(compared >= count * 9 / 10);
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(BothOrSkip);

BOOST_AUTO_TEST_CASE(real_mode_programs_end_alike) { compare(Mode::real16); }
BOOST_AUTO_TEST_CASE(protected_mode_programs_end_alike) { compare(Mode::protected32); }
BOOST_AUTO_TEST_CASE(long_mode_programs_end_alike) { compare(Mode::long64); }
