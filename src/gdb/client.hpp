/// One debugger: its packets, and the answers to them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gdb/command.hpp"
#include "gdb/connection.hpp"
#include "gdb/debuggee.hpp"
#include "gdb/monitor.hpp"
#include "gdb/packet.hpp"
#include "gdb/register_file.hpp"

namespace asyncvm::gdb {

/// Device loop. Lives as long as its coroutines.
class Client {
public:
    struct Surroundings {
        Debuggee& machine;
        std::optional<Width> width{};        ///< Spec::width
        MonitorSurroundings monitor;         ///< its `kill` is also for gdb's own command
        std::shared_ptr<const bool> closed;  ///< the machine is about to go: nothing of it may be touched
    };

    Client(std::unique_ptr<Connection> connection, Surroundings surroundings);

    enum class End : std::uint8_t {
        detached,
        lost,   ///< the connection ended
        ended,  ///< the guest did, or was killed
    };
    /// Until the debugger is gone, and the guest goes on. Throws Error(host).
    [[nodiscard]] static awaitable<End> serve(std::shared_ptr<Client> self);

    /// Whether it is on its way out: another one may come instead.
    [[nodiscard]] bool leaves() const noexcept { return over_ || !connected_ || connection_->left(); }

    /// The program ends with `code`: the debugger is told.
    void guest_ended(int code) noexcept;

    // What others than gdb want of the guest, as QEMU does it. No effect where nothing is to be done.

    /// It has to stop: gdb is told as of its own Ctrl-C. False: gdb does not wait for that.
    bool interrupt();
    /// It has to go on. gdb is not told, and takes the guest for stopped: its next packet stops it again.
    void let_go();
    /// Whether it has begun to talk; before that it does not stop the guest.
    [[nodiscard]] bool attached() const noexcept { return attached_; }

private:
    [[nodiscard]] static awaitable<void> receive(std::shared_ptr<Client> self);
    [[nodiscard]] awaitable<void> converse();
    [[nodiscard]] awaitable<void> take(Received received);
    [[nodiscard]] awaitable<void> answer(Command command);
    [[nodiscard]] awaitable<std::string> reply_to(Command command);
    [[nodiscard]] awaitable<std::string> reply_in_words(Command command);
    /// To a command that waits for nothing; empty for one that is not known.
    [[nodiscard]] std::string reply_at_once(const Command& command);
    [[nodiscard]] awaitable<std::string> reply_about_registers(Command command);
    [[nodiscard]] awaitable<std::string> reply_about_memory(Command command);
    [[nodiscard]] awaitable<std::string> reply_about_breakpoint(Command command);
    [[nodiscard]] std::string reply_about_threads(const Command& command) const;
    [[nodiscard]] awaitable<std::string> read_object(Command command);
    [[nodiscard]] awaitable<std::string> thread_words(unsigned cpu);
    [[nodiscard]] awaitable<void> resume(std::vector<ThreadAction> actions);
    [[nodiscard]] awaitable<void> tell_stop();
    [[nodiscard]] awaitable<void> tell_printed();
    [[nodiscard]] awaitable<std::string> stop_reply();
    [[nodiscard]] awaitable<void> choose_width();
    [[nodiscard]] awaitable<void> send(std::string text);
    [[nodiscard]] std::optional<unsigned> cpu_of(int thread) const;

    const std::unique_ptr<Connection> connection_;
    const Surroundings surroundings_;
    Debuggee& machine_;
    PacketReader reader_;
    std::deque<Received> inbox_;
    bool connected_ = true;
    bool acks_ = true;
    bool attached_ = false;
    bool running_ = false;      ///< gdb waits for the next stop
    bool interrupted_ = false;  ///< it has asked for one, or somebody else has
    bool let_go_ = false;       ///< somebody else wants the guest to go on
    bool over_ = false;
    End end_ = End::lost;
    unsigned cpu_ = 0;  ///< the thread that gdb talks of
    std::string last_sent_;
    std::shared_ptr<const RegisterFile> file_;
};

}  // namespace asyncvm::gdb
