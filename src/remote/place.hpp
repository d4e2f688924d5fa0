/// From a place to a connected socket: connecting, listening, starting a program.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/remote.hpp>

#include <memory>
#include <optional>
#include <string>

#include "os/put_back.hpp"
#include "os/unique_fd.hpp"
#include "remote/poll_set.hpp"
#include "remote/process.hpp"

namespace asyncvm::remote {

/// Throws Error(usage) if `text` is neither unix:PATH nor tcp:[HOST:]PORT.
void check_socket_place(const std::string& text);

/// Where connections come from, one at a time. Device loop.
class Place {
public:
    /// `set` is what the caller waits with.
    Place(const RemoteSpec& spec, std::shared_ptr<const PollSet> set);
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place();

    /// "unix:/run/dev.sock", "tcp:127.0.0.1:4444" with the port that the kernel has picked, "'./device'".
    [[nodiscard]] const std::string& where() const noexcept { return where_; }
    /// Listens, if that is how. Throws Error(host).
    void open();
    /// The next connection, which does not block. Returns an empty text, or why there is none. Throws Error(host) if it
    /// can't be tried.
    [[nodiscard]] awaitable<std::string> connect(asio::io_context& loop, PollSet::Waiter& waiter, UniqueFd& socket);

    /// Empty, or how the program of the last connection has ended: "exit code 3". Then it is gone.
    [[nodiscard]] std::string program_end();
    /// The connection has been closed: completes when its program has ended, or has been made to. As program_end().
    [[nodiscard]] awaitable<std::string> end_program(PollSet::Waiter& waiter);

private:
    const RemoteSpec& spec_;
    const std::shared_ptr<const PollSet> set_;
    std::string where_;
    UniqueFd listener_;
    std::optional<PutBack> file_;  ///< of the listening socket
    std::optional<Process> process_;
};

}  // namespace asyncvm::remote
