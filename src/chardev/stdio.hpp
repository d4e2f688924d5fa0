/// stdio: standard input and output, which this process shares with others.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/descriptor.hpp>
#include <chardev/terminal.hpp>

#include <asio/signal_set.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace asyncvm {

/// Ctrl-A: the keys at the terminal that are for asyncvm instead of for the guest. Pure.
class Escape {
public:
    enum class Action { none, quit, help, line_break };

    /// Takes one byte. Returns what goes to the guest, if anything, and sets what is to be done.
    [[nodiscard]] std::optional<std::byte> take(std::byte byte, Action& action);

private:
    bool pending_ = false;
};

/// One for each process, shared by all devices that write to it.
class StdioBackend : public Backend {
public:
    StdioBackend(const ChardevSpec& spec, ChardevEnvironment environment, Succession from);

    /// The process's one backend, made at the first call, or where all that used it until now is `from`. With
    /// `environment.input` its standard input is kept for start_input(). Throws Error(usage) where another device reads it
    /// already.
    [[nodiscard]] static std::shared_ptr<StdioBackend> get(const ChardevSpec& spec, const ChardevEnvironment& environment,
                                                           const Succession& from);

    /// After start(): reads standard input, raw where that is a terminal, for the device of `environment`.
    void start_input(const ChardevEnvironment& environment);
    /// Nobody will call start_input().
    void give_up_input() noexcept { reserved_ = false; }

    [[nodiscard]] std::string description() const override { return "stdio"; }
    void give_back(std::size_t count) noexcept override;
    void stop_input() noexcept override;

private:
    static awaitable<void> send(std::shared_ptr<StdioBackend> self);
    static awaitable<void> watch_input(std::shared_ptr<StdioBackend> self);
    static awaitable<void> receive(std::shared_ptr<StdioBackend> self);
    static awaitable<void> watch_size(std::shared_ptr<StdioBackend> self);
    void reserve_input(const ChardevEnvironment& environment);
    void take_input(std::span<const std::byte> data);
    void help() const;
    /// Writes what goes at once; returns 0 or the errno that stopped it.
    int flush();
    [[nodiscard]] static bool is_full(int error);
    void give_up(int error);

    void run() override;
    void push() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    [[nodiscard]] std::uint64_t undeliverable() override { return given_up_ ? queue().lost() : 0; }
    [[nodiscard]] bool failing() override { return failing_; }
    void shut() noexcept override;

    std::optional<StdStream> out_;
    std::optional<StdStream> in_;
    std::optional<RawTerminal> raw_;
    std::optional<asio::signal_set> resized_;  ///< while standard input is a terminal
    Escape escape_;
    std::string input_label_;
    std::function<void()> on_quit_;
    OutputLog::Batch batch_;
    bool reserved_ = false;                ///< start_input() is about to come
    std::atomic<std::uint64_t> read_ = 0;  ///< from a standard input that is not read ahead
    bool given_up_ = false;
    bool failing_ = false;  ///< the last write found a full disk
};

}  // namespace asyncvm
