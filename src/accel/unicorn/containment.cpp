#include "accel/unicorn/containment.hpp"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "accel/unicorn/fiber.hpp"
#include "os/put_back.hpp"

namespace asyncvm::unicorn {

namespace {

// Instead of Unicorn's imports.

[[noreturn]] void leave_or_abort(const char* why) {
    if (Fiber* const fiber = Fiber::current()) fiber->leave(why);
    std::abort();
}

[[noreturn]] void contained_abort() { leave_or_abort("Unicorn gave up (it called abort)"); }

[[noreturn]] void contained_assert(const char*, const char*, unsigned, const char*) {
    leave_or_abort("Unicorn gave up (one of its assertions failed)");
}

[[noreturn]] void contained_exit(int code) {
    if (Fiber* const fiber = Fiber::current()) fiber->leave("Unicorn gave up (it called exit, as it does without memory)");
    std::exit(code);
}

/// The memory for translated code, which Unicorn calls its buffer.
class CodeBuffers {
public:
    void add(std::span<std::byte> buffer) {
        const std::lock_guard lock(mutex_);
        buffers_.push_back(buffer);
    }
    void remove(const void* base) noexcept {
        const std::lock_guard lock(mutex_);
        std::erase_if(buffers_, [base](const auto& buffer) { return buffer.data() == base; });
    }
    [[nodiscard]] bool contains(const std::byte* from, std::size_t size) const noexcept {
        const std::lock_guard lock(mutex_);
        return std::ranges::any_of(buffers_, [from, size](const auto& buffer) {
            return from >= buffer.data() && from + size <= buffer.data() + buffer.size();
        });
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::span<std::byte>> buffers_;
};

CodeBuffers& code_buffers() {
    static CodeBuffers buffers;
    return buffers;
}

thread_local std::span<const std::byte> newest_code_buffer;
thread_local std::size_t newest_refused = 0;

void* recorded_mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset) {
    void* const mapped = ::mmap(address, size, protection, flags, fd, offset);
    if ((protection & PROT_EXEC) == 0) return mapped;
    if (mapped == MAP_FAILED) {
        newest_refused = size;
    } else {
        const std::span buffer(static_cast<std::byte*>(mapped), size);
        code_buffers().add(buffer);
        newest_code_buffer = buffer;
    }
    return mapped;
}

int recorded_munmap(void* address, std::size_t size) {
    code_buffers().remove(address);
    return ::munmap(address, size);
}

/// Unicorn empties its buffer by writing zeros to all of it: up to 1 GiB. Giving the pages back has the same effect, takes
/// no memory and little time.
__attribute__((no_sanitize("undefined"))) void* lazy_memset(void* to, int value, std::size_t size) {
    constexpr std::size_t large = 4 << 20;
    auto* const from = static_cast<std::byte*>(to);
    if (value != 0 || size < large || !code_buffers().contains(from, size)) [[likely]]
        return std::memset(to, value, size);
    const auto page_size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t head = (page_size - reinterpret_cast<std::uintptr_t>(to) % page_size) % page_size;
    const std::size_t pages = (size - head) / page_size * page_size;
    if (::madvise(from + head, pages, MADV_DONTNEED) != 0) return std::memset(to, 0, size);
    std::memset(from, 0, head);
    std::memset(from + head + pages, 0, size - head - pages);
    return to;
}

// Faults.

constexpr std::array faults{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
std::array<struct sigaction, faults.size()> handlers_before;

const char* name_of_fault(int signal) noexcept {
    switch (signal) {
        case SIGSEGV:
            return "Unicorn crashed (SIGSEGV)";
        case SIGBUS:
            return "Unicorn crashed (SIGBUS)";
        case SIGILL:
            return "Unicorn crashed (SIGILL)";
        case SIGFPE:
            return "Unicorn crashed (SIGFPE)";
        default:
            return "Unicorn crashed (SIGABRT)";
    }
}

/// Where a fault on a fiber goes on, behind its handler.
[[noreturn]] void leave_after_fault(int signal) { Fiber::current()->leave(name_of_fault(signal)); }

/// As if we had not been there.
void pass_on(int signal, siginfo_t* info, void* context) {
    const auto index = static_cast<std::size_t>(std::ranges::find(faults, signal) - faults.begin());
    const struct sigaction& before = handlers_before[index];
    if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        // The fault comes again, and ends the process as it should; one that was sent is sent again.
        ::sigaction(signal, &before, nullptr);
        if (info->si_code <= 0) ::raise(signal);
    }
}

/// Returns true if the fault is one on a fiber: the fiber is left when the handler returns.
bool contain(int signal, siginfo_t* info, void* context) noexcept {
    // abort() sends its signal to its own thread; another process sends it to all of them.
    const bool sent_here = signal == SIGABRT && info->si_code == SI_TKILL && info->si_pid == ::getpid();
    const bool fault = std::ranges::find(faults, signal) != faults.end() && (info->si_code > 0 || sent_here);
    Fiber* const fiber = fault ? Fiber::current() : nullptr;
    if (fiber == nullptr) return false;
    // The handler returns to leave_after_fault(), called on the fiber's stack, of which nothing is needed any more: also
    // where it was used up.
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    registers[REG_RSP] = static_cast<greg_t>(fiber->stack_top() - 8);
    registers[REG_RIP] = reinterpret_cast<greg_t>(&leave_after_fault);
    registers[REG_RDI] = signal;
    registers[REG_EFL] &= ~greg_t{0x400};  // the direction flag
    return true;
}

void on_fault(int signal, siginfo_t* info, void* context) {
    const int error = errno;
    if (!contain(signal, info, context)) pass_on(signal, info, context);
    errno = error;
}

std::atomic<bool> faults_contained = false;

/// A stack for handlers, so that a fault for want of stack can be handled too. Where the thread has none.
class SignalStack {
public:
    SignalStack() {
        stack_t present{};
        if (::sigaltstack(nullptr, &present) != 0 || (present.ss_flags & SS_DISABLE) == 0) return;
        memory_ = std::make_unique_for_overwrite<std::byte[]>(size);
        stack_t stack{};
        stack.ss_sp = memory_.get();
        stack.ss_size = size;
        if (::sigaltstack(&stack, nullptr) != 0) memory_.reset();
    }
    SignalStack(const SignalStack&) = delete;
    SignalStack& operator=(const SignalStack&) = delete;
    ~SignalStack() {
        if (memory_ == nullptr) return;
        stack_t none{};
        none.ss_flags = SS_DISABLE;
        ::sigaltstack(&none, nullptr);
    }

private:
    static constexpr std::size_t size = 64 << 10;
    std::unique_ptr<std::byte[]> memory_;
};

}  // namespace

std::span<const SharedLibrary::Import> contained_imports() noexcept {
    static const std::array imports{
        SharedLibrary::Import{"abort", reinterpret_cast<void*>(&contained_abort)},
        SharedLibrary::Import{"exit", reinterpret_cast<void*>(&contained_exit)},
        SharedLibrary::Import{"__assert_fail", reinterpret_cast<void*>(&contained_assert)},
        SharedLibrary::Import{"mmap", reinterpret_cast<void*>(&recorded_mmap)},
        SharedLibrary::Import{"mmap64", reinterpret_cast<void*>(&recorded_mmap)},
        SharedLibrary::Import{"munmap", reinterpret_cast<void*>(&recorded_munmap)},
        SharedLibrary::Import{"memset", reinterpret_cast<void*>(&lazy_memset)},
    };
    return imports;
}

void prepare_thread() {
    if (!faults_contained.load(std::memory_order_relaxed)) return;
    [[maybe_unused]] static thread_local const SignalStack stack;
}

void contain_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        for (std::size_t i = 0; i < faults.size(); ++i) {
            struct sigaction action {};
            action.sa_sigaction = on_fault;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigemptyset(&action.sa_mask);
            ::sigaction(faults[i], &action, &handlers_before[i]);
        }
        // The program's own handlers, which put the terminal back, come later and are in front.
        set_fault_filter(contain);
        faults_contained = true;
    });
}

std::span<const std::byte> last_code_buffer() noexcept { return newest_code_buffer; }

std::size_t refused_code_buffer() noexcept { return newest_refused; }

void forget_code_buffer() noexcept {
    newest_code_buffer = {};
    newest_refused = 0;
}

}  // namespace asyncvm::unicorn
