/// What the code between two points costs beside its own instructions: allocations, locks, system calls, reads of the clock.
/// Works by replacing functions of the C library in the executable that it is linked into, and not with sanitizers, which do
/// the same.
#pragma once

#include <cstdint>
#include <string>

namespace asyncvm::test {

/// What one thread did between begin_watch() and end_watch(). What another thread does for it shows as well: it can't be
/// woken without a system call.
struct Watched {
    std::uint64_t allocations = 0;   ///< malloc and its relatives, operator new among them
    std::uint64_t releases = 0;      ///< free
    std::uint64_t locks = 0;         ///< mutexes and read-write locks of pthreads
    std::uint64_t system_calls = 0;  ///< all but ioctl(KVM_RUN), and clock_gettime()
    bool clock_read = false;  ///< the processor's time stamp counter, or clock_gettime() where the host can't use that
    std::string first_system_calls;  ///< number and place of the first few, for a failure's message
};

/// On the thread to be watched. Returns why its system calls and its reads of the clock can't be seen here; empty when they
/// can.
[[nodiscard]] std::string begin_watch();

/// On the same thread.
[[nodiscard]] Watched end_watch();

/// What one thread executed between begin_steps() and end_steps().
struct Steps {
    std::uint64_t instructions = 0;  ///< in user space
    std::uint64_t locked = 0;        ///< of them those that are atomic on the bus: a LOCK prefix, or XCHG with memory
};

/// Makes the thread some thousand times slower.
void begin_steps();

/// On the same thread.
[[nodiscard]] Steps end_steps();

namespace watch {

/// The two halves, for begin_watch() and end_watch().
void begin_counting_calls();
void end_counting_calls(Watched& into);
[[nodiscard]] std::string begin_watching_thread();
void end_watching_thread(Watched& into);

}  // namespace watch

}  // namespace asyncvm::test
