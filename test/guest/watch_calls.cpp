// The functions of the C library that allocate and lock, replaced by ones that count and then call the library's own.
#include "watch.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>

// glibc's own names of what malloc and its relatives do: unlike dlsym() they need no memory themselves.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* pointer);
}

namespace {

constinit thread_local bool counting = false;
constinit thread_local std::uint64_t allocations = 0;
constinit thread_local std::uint64_t releases = 0;
constinit thread_local std::uint64_t locks = 0;

void count(std::uint64_t& what) noexcept {
    if (counting) ++what;
}

template <typename Function>
Function* real(std::atomic<Function*>& known, const char* name) noexcept {
    auto* function = known.load(std::memory_order_relaxed);
    if (function == nullptr) {
        function = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
        known.store(function, std::memory_order_relaxed);
    }
    return function;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
    count(allocations);
    return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) noexcept {
    count(allocations);
    return __libc_calloc(number, size);
}
void* realloc(void* old, std::size_t size) noexcept {
    count(allocations);
    return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
    count(allocations);
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept { return memalign(alignment, size); }
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    *result = memalign(alignment, size);
    return *result == nullptr ? 12 : 0;  // ENOMEM
}
void free(void* pointer) noexcept {
    if (pointer != nullptr) count(releases);
    __libc_free(pointer);
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    static std::atomic<int (*)(pthread_mutex_t*)> known = nullptr;
    count(locks);
    return real(known, "pthread_mutex_lock")(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
    static std::atomic<int (*)(pthread_mutex_t*)> known = nullptr;
    count(locks);
    return real(known, "pthread_mutex_trylock")(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
    static std::atomic<int (*)(pthread_rwlock_t*)> known = nullptr;
    count(locks);
    return real(known, "pthread_rwlock_rdlock")(lock);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
    static std::atomic<int (*)(pthread_rwlock_t*)> known = nullptr;
    count(locks);
    return real(known, "pthread_rwlock_wrlock")(lock);
}

}  // extern "C"

namespace asyncvm::test::watch {

void begin_counting_calls() {
    allocations = 0;
    releases = 0;
    locks = 0;
    counting = true;
}

void end_counting_calls(Watched& into) {
    counting = false;
    into.allocations = allocations;
    into.releases = releases;
    into.locks = locks;
}

}  // namespace asyncvm::test::watch
