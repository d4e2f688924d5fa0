// Every instruction of a thread, one by one: the processor's trap flag makes a signal after each, whose handler looks at the
// next. A system call is one instruction here: the kernel is not stepped, and neither is a guest.
#include <pthread.h>
#include <ucontext.h>

#include <csignal>
#include <cstdint>

#include "watch.hpp"

namespace asyncvm::test {

namespace {

constexpr unsigned long long trap_flag = 0x100;

constinit thread_local Steps steps;

bool is_prefix(unsigned char byte) noexcept {
    switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x66:
        case 0x67:
        case 0xf0:
        case 0xf2:
        case 0xf3:
            return true;
        default:
            return false;
    }
}

void look_at(const unsigned char* code) noexcept {
    ++steps.instructions;
    bool locked = false;
    for (; is_prefix(*code); ++code) locked = locked || *code == 0xf0;
    if ((*code & 0xf0) == 0x40) ++code;  // REX
    // XCHG with memory locks without the prefix.
    const bool exchange = (*code == 0x86 || *code == 0x87) && (code[1] >> 6) != 3;
    if (locked || exchange) ++steps.locked;
}

void on_step(int, siginfo_t*, void* context) {
    look_at(reinterpret_cast<const unsigned char*>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]));
}

}  // namespace

void begin_steps() {
    struct sigaction action {};
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, nullptr);
    steps = {};
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | trap_flag);
}

Steps end_steps() {
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~trap_flag);
    return steps;
}

}  // namespace asyncvm::test
