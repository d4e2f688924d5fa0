// What ends Unicorn does not end the process. The failures are the tests' own: memory that is refused, faults and aborts in
// the functions that Unicorn calls.
#define BOOST_TEST_MODULE containment
#include "accelerator_fixture.hpp"

#include <asyncvm/machine.hpp>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "../../guest/machine_fixture.hpp"
#include "../bus/devices.hpp"
#include "accel/unicorn/containment.hpp"
#include "accel/unicorn/fiber.hpp"
#include "dynamic/shared_library.hpp"
#include "os/put_back.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace asyncvm::unicorn;

/// LeakSanitizer asks this. What an emulator that gave up had allocated stays, by design.
extern "C" int __lsan_is_turned_off();  // NOLINT: its name
extern "C" int __lsan_is_turned_off() { return 1; }

namespace {

/// Runs `body` in a child process and returns how that ended: its exit code, or 128 plus its signal.
int in_a_child(const std::function<void()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        body();
        ::_exit(0);
    }
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void exit_with_42(int) { ::_exit(42); }

void touch_nothing() {
    static void* const nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *static_cast<volatile int*>(nothing) = 1;
}

int use_up_the_stack(int depth) {  // NOLINT: it is meant to be endless
    volatile char frame[4096];     // NOLINT: an array that the compiler must keep
    frame[0] = static_cast<char>(depth);
    return depth < 0 ? 0 : use_up_the_stack(depth + 1) + frame[0];
}

/// Why a fiber was left that runs `body`; empty if it was not.
std::string why_left(const std::function<void()>& body) {
    Fiber fiber(body);
    prepare_thread();
    fiber.resume();
    BOOST_TEST(Fiber::current() == nullptr);
    return fiber.left() != nullptr ? fiber.left() : "";
}

/// What a call of Unicorn's for memory does, after `calls_before` others.
enum class Ambush : std::uint8_t { none, no_memory, abort, fault };
Ambush ambush = Ambush::none;
unsigned calls_before = 0;

void lay(Ambush kind, unsigned calls = 0) {
    ambush = kind;
    calls_before = calls;
}

bool refused() {
    if (ambush != Ambush::none && calls_before > 0) {
        --calls_before;
        return false;
    }
    switch (std::exchange(ambush, Ambush::none)) {
        case Ambush::none:
            return false;
        case Ambush::no_memory:
            return true;
        case Ambush::abort:
            std::abort();
        case Ambush::fault:
            touch_nothing();
            return true;
    }
    return false;
}

void* ambushed_malloc(std::size_t size) { return refused() ? nullptr : std::malloc(size); }
void* ambushed_calloc(std::size_t count, std::size_t size) { return refused() ? nullptr : std::calloc(count, size); }
void* ambushed_realloc(void* old, std::size_t size) { return refused() ? nullptr : std::realloc(old, size); }

/// Unicorn gets its memory from the functions above.
struct Ambushed {
    Ambushed() {
        static_cast<void>(make_unicorn_accelerator());
        const std::array imports{SharedLibrary::Import{"malloc", reinterpret_cast<void*>(&ambushed_malloc)},
                                 SharedLibrary::Import{"calloc", reinterpret_cast<void*>(&ambushed_calloc)},
                                 SharedLibrary::Import{"realloc", reinterpret_cast<void*>(&ambushed_realloc)}};
        BOOST_REQUIRE(SharedLibrary("libunicorn.so.2").replace_imports(imports) == imports.size());
    }
    ~Ambushed() { lay(Ambush::none); }
};

// out %al, $0x20; jmp 1f; nop; 1: mov $7, %al; out %al, $0x20; hlt
constexpr std::initializer_list<std::uint8_t> guest{0xe6, 0x20, 0xeb, 0x01, 0x90, 0xb0, 0x07, 0xe6, 0x20, 0xf4};

/// Takes its characters and lays an ambush for Unicorn.
class Trap : public Recorder {
public:
    awaitable<void> write(const Access& access) override {
        accesses.push_back(access);
        lay(Ambush::abort);
        co_return;
    }
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ASYNCVM_TEST_SANITIZED
#endif
#endif
#ifdef ASYNCVM_TEST_SANITIZED
constexpr std::size_t own_memory = std::size_t{1} << 30;  // sanitizers keep what was freed
#else
constexpr std::size_t own_memory = 0;
#endif

struct MemoryUse {
    std::size_t addresses = 0;
    std::size_t resident = 0;  ///< bytes, both
};

MemoryUse memory_use() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::ifstream file("/proc/self/statm");
    MemoryUse use;
    file >> use.addresses >> use.resident;
    return {use.addresses * page, use.resident * page};
}

}  // namespace

// First: the handlers are installed once in a process.
BOOST_AUTO_TEST_CASE(faults_elsewhere_go_to_the_handler_that_was_there) {
    BOOST_TEST(in_a_child([] {
                   ::signal(SIGSEGV, exit_with_42);
                   contain_faults();
                   touch_nothing();
               }) == 42);
    const auto died = [](const std::function<void()>& body) {
        return in_a_child([&body] {
            const rlimit none{0, 0};
            ::setrlimit(RLIMIT_CORE, &none);
            contain_faults();
            body();
        });
    };
    // Sanitizers have handlers of their own, which end the process with an exit code.
    BOOST_TEST(died(touch_nothing) != 0);
    BOOST_TEST(died([] { std::abort(); }) == 128 + SIGABRT);
    BOOST_TEST(died([] { ::raise(SIGSEGV); }) != 0);
    BOOST_TEST(died([] { static_cast<void>(why_left([] { ::raise(SIGSEGV); })); }) != 0);
}

BOOST_AUTO_TEST_CASE(an_embedder_can_keep_its_signal_handlers) {
    const auto handlers = [] {
        std::vector<void (*)(int)> all;
        for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
            struct sigaction now {};
            ::sigaction(signal, nullptr, &now);
            all.push_back(now.sa_handler);  // or sa_sigaction: one place has both
        }
        return all;
    };
    BOOST_TEST(in_a_child([&handlers] {
                   const auto before = handlers();
                   const auto accelerator = make_unicorn_accelerator({.contain_faults = false});
                   if (handlers() != before) ::_exit(1);
                   const auto other = make_unicorn_accelerator();
                   if (handlers() == before) ::_exit(2);
               }) == 0);
}

BOOST_AUTO_TEST_CASE(a_fault_on_a_fiber_leaves_it_and_nothing_else) {
    contain_faults();
    for (int round = 0; round < 3; ++round) {
        BOOST_TEST(why_left(touch_nothing) == "Unicorn crashed (SIGSEGV)");
        BOOST_TEST(why_left([] { std::abort(); }) == "Unicorn crashed (SIGABRT)");
        BOOST_TEST(why_left([] { __builtin_trap(); }) == "Unicorn crashed (SIGILL)");
        BOOST_TEST(why_left([] { use_up_the_stack(0); }) == "Unicorn crashed (SIGSEGV)");
        BOOST_TEST(why_left([] {}) == "");
    }
}

BOOST_AUTO_TEST_CASE(a_fault_that_is_contained_puts_nothing_back) {
    BOOST_TEST(in_a_child([] {
                   contain_faults();
                   static volatile std::sig_atomic_t done = 0;
                   const PutBack terminal(
                       +[](const int&) noexcept { done = 1; }, 0);
                   for (int round = 0; round < 2; ++round) {
                       if (why_left(touch_nothing) != "Unicorn crashed (SIGSEGV)") ::_exit(1);
                       if (why_left([] { std::abort(); }) != "Unicorn crashed (SIGABRT)") ::_exit(2);
                   }
                   if (done != 0) ::_exit(3);
               }) == 0);
    BOOST_TEST(in_a_child([] {
                   contain_faults();
                   const PutBack terminal(
                       +[](const int&) noexcept { ::_exit(42); }, 0);
                   touch_nothing();
               }) == 42);
}

BOOST_AUTO_TEST_CASE(a_guest_for_which_unicorn_gives_up_is_refused_with_its_place_and_bytes) {
    const Ambushed ambushed;
    struct Case {
        Ambush ambush;
        std::string_view reason;
    };
    for (const auto& [kind, reason] :
         {Case{Ambush::abort, "Unicorn crashed (SIGABRT)"}, Case{Ambush::fault, "Unicorn crashed (SIGSEGV)"}}) {
        for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
            AcceleratorFixture fixture(mode, guest);
            fixture.next_out();
            lay(kind);
            const std::uint64_t base = mode == Mode::real16 ? 0 : AcceleratorFixture::load_at;
            for (int again = 0; again < 2; ++again) {
                const Exit exit = fixture.cpu().run();
                BOOST_REQUIRE(std::holds_alternative<Failure>(exit));
                const auto& failure = std::get<Failure>(exit);
                BOOST_TEST((failure.kind == Failure::Kind::refused));
                BOOST_TEST(failure.reason == reason);
                BOOST_REQUIRE(failure.instruction_size == 15u);
                BOOST_TEST(failure.instruction[0] == 0xb0);
                BOOST_TEST(failure.instruction[1] == 0x07);
            }
            BOOST_TEST(fixture.cpu().exit_rip() == base + 5);
            BOOST_TEST(fixture.cpu().registers().rip == base + 5);
            fixture.cpu().complete_exit();
            // A reset of the machine gives the vCPU another engine.
            fixture.cpu().set_registers(fixture.start);
            fixture.next_out();
            BOOST_TEST(fixture.next_out() == 7u);
            BOOST_TEST(fixture.next_is<Halted>());
        }
    }
}

BOOST_AUTO_TEST_CASE(the_lack_of_memory_is_a_refusal_wherever_it_is_met) {
    const Ambushed ambushed;
    unsigned refusals = 0;
    for (unsigned calls = 0;; ++calls) {
        AcceleratorFixture fixture(Mode::protected32, guest);
        fixture.next_out();
        lay(Ambush::no_memory, calls);
        const Exit exit = fixture.cpu().run();
        if (ambush != Ambush::none) break;  // it does not ask so often
        if (const auto* const failure = std::get_if<Failure>(&exit)) {
            ++refusals;
            BOOST_TEST((failure->kind == Failure::Kind::refused));
        }
    }
    lay(Ambush::none);
    BOOST_TEST(refusals > 0u);
}

BOOST_AUTO_TEST_CASE(an_engine_that_gets_no_memory_is_an_error) {
    const Ambushed ambushed;
    const auto accelerator = make_unicorn_accelerator();
    bool done = false;
    for (unsigned calls = 0; !done; calls += calls < 50 ? 1 : 11) {
        try {
            AcceleratorFixture fixture(Mode::long64, {0xf4});
            lay(Ambush::no_memory, calls);
            const auto cpu = accelerator->create_cpu(0);
            cpu->set_registers(fixture.start);
            static_cast<void>(cpu->run());
            done = ambush != Ambush::none;
        } catch (const Error& error) {
            BOOST_TEST((error.kind() == ErrorKind::host));
        }
    }
    lay(Ambush::none);
    AcceleratorFixture fixture(Mode::long64, {0xf4});
    BOOST_TEST(fixture.next_is<Halted>());
}

BOOST_AUTO_TEST_CASE(an_engine_without_room_for_its_translations_is_an_error) {
    // Unicorn calls exit() then.
    const auto run = [](std::size_t room) {
        return in_a_child([room] {
            AcceleratorFixture fixture(Mode::long64, {0xf4});
            const rlimit limit{memory_use().addresses + room, RLIM_INFINITY};
            ::setrlimit(RLIMIT_AS, &limit);
            try {
                ::_exit(fixture.next_is<Halted>() ? 0 : 3);
            } catch (const NoMemory& error) {
                const bool named = std::string_view(error.what()).find("MiB of addresses") != std::string_view::npos;
                ::_exit(error.kind() == ErrorKind::host && named ? 10 : 2);
            }
        });
    };
    BOOST_TEST(run(std::size_t{4} << 30) == 0);
    BOOST_TEST(run(32u << 20) == 10);
}

BOOST_AUTO_TEST_CASE(a_machine_whose_emulator_gives_up_ends_with_a_report) {
    const Ambushed ambushed;
    asio::io_context loop;
    TestMachine test(loop, 1, make_unicorn_accelerator());
    const auto trap = std::make_shared<Trap>();
    test.machine.ports().attach({.first = 0x20, .size = 1}, trap);
    test.load(guest);
    const Outcome outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::failed));
    BOOST_TEST(trap->accesses.size() == 1u);  // what the guest has written before is not lost
    BOOST_TEST(outcome.summary.find("Unicorn crashed (SIGABRT)") != std::string::npos, outcome.summary);
    BOOST_TEST(outcome.summary.find("0x10005") != std::string::npos, outcome.summary);
    BOOST_TEST(outcome.report.find("b0 07") != std::string::npos, outcome.report);
}

BOOST_AUTO_TEST_CASE(a_guest_that_rewrites_its_code_without_an_end_runs_on_in_bounded_memory) {
    // mov $N, %ecx; again: incb 1f+1; 1: mov $0, %al; dec %ecx; jnz again; out %al, $0x20; hlt
    constexpr std::uint32_t rounds = 120'000;
    AcceleratorFixture fixture(Mode::real16, {0x66, 0xb9, rounds & 0xff, rounds >> 8 & 0xff, rounds >> 16 & 0xff, 0, 0xfe,
                                              0x06, 0x0b, 0x00, 0xb0, 0x00, 0x66, 0x49, 0x75, 0xf6, 0xe6, 0x20, 0xf4});
    const auto before = memory_use().resident;
    BOOST_TEST(fixture.next_out() == rounds % 256);
    BOOST_TEST(memory_use().resident < before + own_memory + (64u << 20));
    BOOST_TEST(fixture.next_is<Halted>());
}
