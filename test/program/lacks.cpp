// Preloaded into the program: what it asks the system for is refused, or never answered. The environment variable LACK says
// what.
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace {

std::string_view lack() {
    const char* const value = std::getenv("LACK");
    return value != nullptr ? value : "";
}

template <typename Function>
Function* real(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

/// LACK=names: the name server is silent.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    while (lack() == "names") ::pause();
    return real<decltype(getaddrinfo)>("getaddrinfo")(node, service, hints, result);
}

/// LACK=threads:N: the first N threads are there, and no other one.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) noexcept {
    static std::atomic<int> made = 0;
    constexpr std::string_view threads = "threads:";
    if (lack().starts_with(threads) && made++ >= std::atoi(lack().data() + threads.size())) return EAGAIN;
    return real<decltype(pthread_create)>("pthread_create")(thread, attributes, start, argument);
}

/// LACK=time: SIGTERM comes as soon as a Unix socket has its file.
extern "C" int bind(int socket, const sockaddr* address, socklen_t size) noexcept {
    const int result = real<decltype(bind)>("bind")(socket, address, size);
    if (lack() == "time" && result == 0 && address->sa_family == AF_UNIX) ::kill(::getpid(), SIGTERM);
    return result;
}
