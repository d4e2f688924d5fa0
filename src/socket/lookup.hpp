/// Names of hosts to addresses, while the device loop goes on.
#pragma once

#include <asyncvm/event.hpp>
#include <socket/address.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace asyncvm {

/// One question to the system's resolver, on a thread of its own. A name server that does not answer keeps that thread, and
/// nobody else: the object, its loop and the process may end meanwhile.
class Lookup {
public:
    /// Throws std::system_error without a thread.
    Lookup(const std::string& host, std::uint16_t port);

    /// Appends the addresses. Returns an empty text, or why there is none: "operation canceled" after cancel(). Once.
    [[nodiscard]] awaitable<std::string> wait(std::vector<SocketAddress>& addresses);

    /// wait() completes. Any thread.
    void cancel() noexcept;

private:
    struct Answer;
    std::shared_ptr<Answer> answer_;
};

}  // namespace asyncvm
