/// What a listening and a connecting stream socket have in common: one Connection at a time.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/connection.hpp>

#include <memory>

namespace asyncvm {

class SocketBackend : public Backend {
public:
    using Backend::Backend;

protected:
    /// Makes `fd` the connection and reads from it; admit() lets it have output.
    std::shared_ptr<Connection> begin(UniqueFd fd);
    void admit(const std::shared_ptr<Connection>& connection);
    /// The connection is over, whatever the reason. What had not arrived is for the next one.
    void end(const std::shared_ptr<Connection>& connection);
    [[nodiscard]] const std::shared_ptr<Connection>& connection() const noexcept { return connection_; }
    [[nodiscard]] std::shared_ptr<SocketBackend> shared();

    void push() override;
    [[nodiscard]] bool attended() override { return connection_ != nullptr; }
    [[nodiscard]] awaitable<void> finish(Clock::time_point until) override;
    /// Closes what is not a connection.
    virtual void shut_sockets() noexcept = 0;

private:
    static awaitable<void> send(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    static awaitable<void> receive(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    static awaitable<void> watch(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection);
    void shut() noexcept override;

    std::shared_ptr<Connection> connection_;
};

}  // namespace asyncvm
