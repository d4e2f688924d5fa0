/// What a listening and a connecting stream socket have in common: one Session at a time.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/session.hpp>

#include <memory>

namespace asyncvm {

class SocketBackend : public Backend {
public:
    using Backend::Backend;

protected:
    /// Makes `fd` the session and reads from it; admit() lets it have output.
    std::shared_ptr<Session> begin(UniqueFd fd);
    void admit(const std::shared_ptr<Session>& session);
    /// The session is over, whatever the reason. What had not arrived is for the next one.
    void end(const std::shared_ptr<Session>& session);
    [[nodiscard]] const std::shared_ptr<Session>& session() const noexcept { return session_; }
    [[nodiscard]] std::shared_ptr<SocketBackend> shared();

    void push() override;
    [[nodiscard]] bool attended() override { return session_ != nullptr; }
    [[nodiscard]] awaitable<void> finish(Clock::time_point until) override;
    /// Closes what is not a session.
    virtual void shut_sockets() noexcept = 0;

private:
    static awaitable<void> send(std::shared_ptr<SocketBackend> self, std::shared_ptr<Session> session);
    static awaitable<void> receive(std::shared_ptr<SocketBackend> self, std::shared_ptr<Session> session);
    static awaitable<void> watch(std::shared_ptr<SocketBackend> self, std::shared_ptr<Session> session);
    void shut() noexcept override;

    std::shared_ptr<Session> session_;
};

}  // namespace asyncvm
