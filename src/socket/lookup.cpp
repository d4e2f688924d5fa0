#include <async/signals_blocked.hpp>
#include <socket/lookup.hpp>
#include <text/errno_text.hpp>

#include <netdb.h>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

namespace asyncvm {

/// Shared with the thread, which may outlive everybody else.
struct Lookup::Answer {
    const std::shared_ptr<OneShot> done = std::make_shared<OneShot>();
    std::mutex mutex;
    std::string problem;
    std::vector<SocketAddress> addresses;

    void find(const std::string& host, const std::string& port) noexcept {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_NUMERICSERV;
        addrinfo* list = nullptr;
        const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
        const int system = errno;
        try {
            const std::lock_guard lock(mutex);
            if (error != 0) problem = error == EAI_SYSTEM ? reason(system) : ::gai_strerror(error);
            for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
                SocketAddress address;
                std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
                address.size = entry->ai_addrlen;
                addresses.push_back(address);
            }
        } catch (const std::exception&) {  // no memory: no address
        }
        if (list != nullptr) ::freeaddrinfo(list);
        done->complete();
    }
};

Lookup::Lookup(const std::string& host, std::uint16_t port) : answer_(std::make_shared<Answer>()) {
    const SignalsBlocked blocked;
    std::thread([answer = answer_, host, port = std::to_string(port)] { answer->find(host, port); }).detach();
}

awaitable<std::string> Lookup::wait(std::vector<SocketAddress>& addresses) {
    const auto answer = answer_;
    std::string problem;
    try {
        co_await answer->done->wait();
    } catch (const std::system_error& error) {
        problem = reason(error.code().value());
    }
    const std::lock_guard lock(answer->mutex);
    if (problem.empty()) problem = answer->problem;
    if (problem.empty()) addresses.insert(addresses.end(), answer->addresses.begin(), answer->addresses.end());
    co_return problem;
}

void Lookup::cancel() noexcept { answer_->done->complete(asio::error::operation_aborted); }

}  // namespace asyncvm
