/// stdio: standard input and output, which this process shares with others.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/descriptor.hpp>
#include <chardev/escape.hpp>
#include <chardev/terminal.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace asyncvm {

/// Reads or writes a descriptor that is not ours alone without blocking the loop, and without leaving O_NONBLOCK on what is
/// shared: terminals and pipes are opened once more through /proc/self/fd, sockets have flags for each call, and where
/// neither works readiness is asked for before each call.
class StdStream {
public:
    /// `fd` stays open as long as this object lives, and is not closed by it.
    StdStream(asio::io_context& loop, int fd, bool writing);

    /// Bytes, 0 at the end of the input, or -errno; -EAGAIN: wait() first.
    [[nodiscard]] long read(std::span<std::byte> data);
    [[nodiscard]] long write(std::span<const std::byte> data);
    [[nodiscard]] awaitable<void> wait();

    /// Whether there is anything behind the descriptor at all.
    [[nodiscard]] bool open() const noexcept { return kind_ != Kind::closed; }
    [[nodiscard]] bool terminal() const noexcept { return terminal_; }

private:
    enum class Kind : std::uint8_t {
        closed,
        always,    ///< files and the like: never has to wait
        own,       ///< opened again, O_NONBLOCK
        socket,    ///< MSG_DONTWAIT
        borrowed,  ///< only after poll() has said yes
    };

    [[nodiscard]] Kind classify();
    [[nodiscard]] bool ready() const;

    int fd_;
    bool writing_;
    bool terminal_ = false;
    UniqueFd again_;  ///< own: the second description, until watched_ has it
    Kind kind_;       ///< after what classify() fills
    std::optional<Watched>
        watched_;  ///< own: the second description; socket, borrowed: an epoll descriptor that watches fd_
};

/// One for each process, shared by all devices that write to it.
class StdioBackend : public Backend {
public:
    StdioBackend(const ChardevSpec& spec, ChardevEnvironment environment);

    /// The process's one backend, made and started at the first call. `environment.input` lets it read standard input, raw
    /// where that is a terminal. Throws Error(usage) where another device reads it already.
    [[nodiscard]] static std::shared_ptr<StdioBackend> get(const ChardevSpec& spec, const ChardevEnvironment& environment);

    [[nodiscard]] std::string description() const override { return "stdio"; }
    void stop_input() noexcept override;

private:
    static awaitable<void> send(std::shared_ptr<StdioBackend> self);
    static awaitable<void> receive(std::shared_ptr<StdioBackend> self);
    void start_input(const ChardevEnvironment& environment);
    void take_input(std::span<const std::byte> data);
    void help() const;
    /// Writes what goes at once; returns 0 or the errno that stopped it.
    int flush();
    void give_up(int error);

    void run() override;
    void push() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    [[nodiscard]] std::uint64_t undeliverable() override { return given_up_ ? queue().lost() : 0; }
    void shut() noexcept override;

    std::optional<StdStream> out_;
    std::optional<StdStream> in_;
    std::optional<RawTerminal> raw_;
    Escape escape_;
    std::string input_label_;
    std::function<void()> on_quit_;
    OutputLog::Batch batch_;
    bool given_up_ = false;
};

}  // namespace asyncvm
