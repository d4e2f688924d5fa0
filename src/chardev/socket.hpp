/// What a listening and a connecting stream socket have in common: one Connection at a time.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/connection.hpp>

#include <memory>

namespace asyncvm {

/// The coroutines around a ConnectionFsm: send() follows its output(), receive() its input(), live() its ending(), and
/// watch() looks at the socket when that reports an error or a hang-up.
class SocketBackend : public Backend {
public:
    using Backend::Backend;

protected:
    /// Makes `fd` the connection and reads from it; `at_once` lets it have output too, otherwise admit() does. Throws
    /// std::system_error if the loop can't watch it.
    std::shared_ptr<Connection> begin(UniqueFd fd, bool ends_with_input, bool at_once);
    void admit(const std::shared_ptr<Connection>& connection);
    /// Another client takes the connection's place. What had not arrived is for that one.
    void put_out(const std::shared_ptr<Connection>& connection);
    /// Looks at the connection and does what its end asks for, as far as that goes at once. It may be over after that.
    void settle(const std::shared_ptr<Connection>& connection);
    [[nodiscard]] const std::shared_ptr<Connection>& connection() const noexcept { return connection_; }
    [[nodiscard]] std::shared_ptr<SocketBackend> shared();

    void push() override;
    [[nodiscard]] bool attended() override { return connection_ != nullptr; }
    void guest_ended() override;
    [[nodiscard]] awaitable<void> finish(Deadline deadline) override;
    [[nodiscard]] awaitable<void> leave() override;
    /// Closes the sockets that are no connection.
    virtual void shut_sockets() noexcept = 0;

private:
    static awaitable<void> send(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    static awaitable<void> receive(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    static awaitable<void> live(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    static awaitable<void> watch(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    /// The connection's coroutines look at its state again.
    void wake();
    void shut() noexcept override;

    std::shared_ptr<Connection> connection_;
};

}  // namespace asyncvm
