/// The socket between this program and a back end.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "os/unique_fd.hpp"
#include "socket/watched.hpp"
#include "vhost/message.hpp"

namespace asyncvm::vhost {

/// What has come back, with its descriptor if it has one.
struct Reply {
    Answer answer{};
    UniqueFd descriptor{};
};

/// Messages go out, each waits for its answer. A back end that breaks the protocol, does not answer in time or hangs up
/// closes the channel: all calls then return why. On the loop's thread.
class Channel : public std::enable_shared_from_this<Channel> {
public:
    /// `socket` is connected and does not block. `limit` is how long an answer may take. `changed` is notified when the
    /// channel has been closed, and now and then.
    Channel(asio::io_context& loop, UniqueFd socket, std::chrono::milliseconds limit, std::shared_ptr<Event> changed);

    /// After the constructor, once: begins to read.
    void start();

    /// Sends `message` and waits for its answer, if it gets one; it may ask for one (Message::needs_reply). Returns an empty
    /// text, or why that failed: the channel is closed then. One call at a time.
    [[nodiscard]] awaitable<std::string> exchange(Message message, Reply& reply);

    [[nodiscard]] bool is_open() const noexcept { return socket_.has_value(); }
    /// Why it is not: "it has closed the connection".
    [[nodiscard]] const std::string& why() const noexcept { return why_; }

    /// The first reason counts.
    void close(const std::string& why);
    /// The same without a word to anybody: the loop goes.
    void abandon() noexcept { socket_.reset(); }
    /// Gives the socket away, for another loop; not while an exchange() waits. The channel is closed. Invalid if it was.
    [[nodiscard]] UniqueFd release();

private:
    [[nodiscard]] static awaitable<void> read(std::shared_ptr<Channel> self);
    [[nodiscard]] bool read_some();
    [[nodiscard]] std::string send(const Message& message);

    asio::io_context& loop_;
    std::optional<Watched> socket_;
    const std::chrono::milliseconds limit_;
    const std::shared_ptr<Event> changed_;
    std::string why_;
    AnswerReader reader_;
    UniqueFd descriptor_;  ///< of the answer that comes
    bool asked_ = false;   ///< an answer is expected
    std::optional<Reply> reply_;
};

}  // namespace asyncvm::vhost
