/// tcp:PORT and unix:PATH: listens, and serves one client after the other.
#pragma once

#include <chardev/socket.hpp>
#include <socket/address.hpp>

#include <optional>
#include <string>

namespace asyncvm {

/// One client at a time; others wait in the kernel's list of pending connections. A client that only half-closed keeps its
/// place, unless it may as well be gone (nothing that was sent since has arrived) and another one asks for it.
class Listener : public SocketBackend {
public:
    /// Where the backend before listens at the same address, its socket is inherited: who waits there is not turned away.
    /// Throws Error(host).
    Listener(const ChardevSpec& spec, ChardevEnvironment environment, Succession from);

    void inherit() override;
    [[nodiscard]] std::string description() const override { return where_; }

private:
    static awaitable<void> serve(std::shared_ptr<Listener> self);
    static awaitable<void> await_stay(std::shared_ptr<Listener> self, std::shared_ptr<Connection> client);
    [[nodiscard]] bool occupied();
    [[nodiscard]] int accept(std::shared_ptr<Connection>& client);
    [[nodiscard]] std::string command() const;
    /// Whether it listens at just what `spec` says. Throws Error(host) if that is no host.
    [[nodiscard]] bool is_at(const ChardevSpec& spec) const;
    [[nodiscard]] UniqueFd listen(Listener* before);
    void watch(UniqueFd fd);

    void run() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    void shut_sockets() noexcept override;

    std::optional<Watched> listener_;
    std::string where_;
    SocketAddress address_;
    /// Of unix:PATH. Another Listener may have got it, too.
    std::shared_ptr<std::optional<PutBack>> file_ = std::make_shared<std::optional<PutBack>>();
    std::pair<dev_t, ino_t> socket_file_{};
    std::shared_ptr<Listener> heir_of_;
};

}  // namespace asyncvm
