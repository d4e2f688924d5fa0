// System calls and reads of the clock of one thread. A seccomp filter, which needs no privilege, lets KVM_RUN pass and turns
// every other system call into a signal; its handler counts the call and makes it. The filter can't be taken off again: it
// stays until the thread ends. The clock is read in user space (vDSO), with an instruction that a thread can have trapped.
#include "watch.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <system_error>

// The one place where the filter lets every system call pass: the handler's own.
extern "C" {
long asyncvm_test_system_call(long number, long a, long b, long c, long d, long e, long f);
extern const char asyncvm_test_after_system_call[];
}
asm(R"(
    .text
    .globl asyncvm_test_system_call
    .globl asyncvm_test_after_system_call
asyncvm_test_system_call:
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %r10
    mov %r9, %r8
    mov 8(%rsp), %r9
    syscall
asyncvm_test_after_system_call:
    ret
)");

namespace asyncvm::test::watch {

namespace {

struct Call {
    int number = 0;
    const void* from = nullptr;
};

std::atomic<bool> watching = false;
std::atomic<std::uint64_t> calls = 0;
std::atomic<bool> clock_read = false;
std::array<Call, 4> first_calls;

void on_system_call(int, siginfo_t* info, void* context) {
    const int saved = errno;
    auto* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    if (watching && info->si_syscall == SYS_clock_gettime) {
        clock_read = true;
    } else if (watching) {
        const auto index = calls.fetch_add(1);
        if (index < first_calls.size()) first_calls[index] = {info->si_syscall, info->si_call_addr};
    }
    // A change of the thread's signal mask is undone when this handler returns. That is as well: with SIGSYS blocked the
    // next system call would end the process.
    registers[REG_RAX] =
        asyncvm_test_system_call(info->si_syscall, registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                                 registers[REG_R10], registers[REG_R8], registers[REG_R9]);
    errno = saved;
}

void on_fault(int number, siginfo_t*, void* context) {
    const auto* const registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
    const auto* const code = reinterpret_cast<const unsigned char*>(registers[REG_RIP]);
    const bool rdtsc = code[0] == 0x0f && code[1] == 0x31;
    const bool rdtscp = code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xf9;
    if (rdtsc || rdtscp) {
        if (watching) clock_read = true;
        // From here on the clock can be read again: the first read is enough to know.
        asyncvm_test_system_call(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0, 0);
    } else {
        std::signal(number, SIG_DFL);
    }
}

void handle(int number, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaction(number, &action, nullptr);
    sigset_t open;
    sigemptyset(&open);
    sigaddset(&open, number);
    pthread_sigmask(SIG_UNBLOCK, &open, nullptr);
}

/// The loaded word.
constexpr sock_filter load(std::size_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
/// Passes over `skipped` instructions if the loaded word is `value`.
constexpr sock_filter skip_if(std::uint32_t value, unsigned skipped) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, static_cast<std::uint8_t>(skipped), 0);
}
constexpr sock_filter skip_unless(std::uint32_t value, unsigned skipped) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, static_cast<std::uint8_t>(skipped));
}
constexpr sock_filter answer(std::uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

/// Returns 0 or errno.
int filter_system_calls() {
    const auto passing = reinterpret_cast<std::uint64_t>(asyncvm_test_after_system_call);
    constexpr std::size_t instruction = offsetof(seccomp_data, instruction_pointer);
    sock_filter program[] = {
        load(offsetof(seccomp_data, nr)),
        skip_if(SYS_rt_sigreturn, 11),
        skip_if(SYS_exit, 10),
        skip_if(SYS_exit_group, 9),
        skip_unless(SYS_ioctl, 2),
        load(offsetof(seccomp_data, args) + sizeof(std::uint64_t)),
        skip_if(KVM_RUN, 6),
        load(instruction),
        skip_unless(static_cast<std::uint32_t>(passing), 3),
        load(instruction + sizeof(std::uint32_t)),
        skip_unless(static_cast<std::uint32_t>(passing >> 32), 1),
        answer(SECCOMP_RET_ALLOW),
        answer(SECCOMP_RET_TRAP),
        answer(SECCOMP_RET_ALLOW),
    };
    const sock_fprog code{static_cast<unsigned short>(std::size(program)), program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &code) == 0 ? 0 : errno;
}

/// One call that the filter must catch, and one read of the clock: what the host does not show must not count as absent.
std::string check_that_all_is_seen() {
    watching = true;
    static_cast<void>(syscall(SYS_getppid));
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    watching = false;
    if (calls == 0) return "the seccomp filter catches no system call";
    if (!clock_read) return "the host does not let a thread's rdtsc trap (PR_SET_TSC)";
    return {};
}

}  // namespace

std::string begin_watching_thread() {
    handle(SIGSYS, on_system_call);
    handle(SIGSEGV, on_fault);
    if (const int error = filter_system_calls(); error != 0) {
        return fmt::format("the host refuses a seccomp filter: {}", std::generic_category().message(error));
    }
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
    if (auto why = check_that_all_is_seen(); !why.empty()) return why;
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
    calls = 0;
    clock_read = false;
    watching = true;
    return {};
}

void end_watching_thread(Watched& into) {
    watching = false;
    prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
    into.system_calls = calls;
    into.clock_read = clock_read;
    for (std::size_t index = 0; index < std::min<std::size_t>(first_calls.size(), calls); ++index) {
        into.first_system_calls += fmt::format(" number {} at {}", first_calls[index].number, first_calls[index].from);
    }
}

}  // namespace asyncvm::test::watch

namespace asyncvm::test {

std::string begin_watch() {
    auto why = watch::begin_watching_thread();
    watch::begin_counting_calls();
    return why;
}

Watched end_watch() {
    Watched watched;
    watch::end_counting_calls(watched);
    watch::end_watching_thread(watched);
    return watched;
}

}  // namespace asyncvm::test
