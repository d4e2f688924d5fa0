/// Where a debugger comes: listens, and serves one client after the other.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/machine.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gdb/client.hpp"
#include "gdb/debuggee.hpp"
#include "gdb/spec.hpp"
#include "os/put_back.hpp"
#include "os/unique_fd.hpp"
#include "socket/watched.hpp"

namespace asyncvm::gdb {

/// All functions but stopped() on the device loop.
class Server : public std::enable_shared_from_this<Server> {
public:
    struct Surroundings {
        asio::io_context& loop;
        Machine& machine;  ///< until close()
        CrashPolicy on_crash = CrashPolicy::if_attached;
        Log log;
        MonitorSurroundings monitor;  ///< its `kill` is also for gdb's own command
        DebuggerWatch watch{};
    };

    /// Listens. Throws Error(host).
    Server(Spec spec, Surroundings surroundings);

    /// MachineConfig::on_stop
    [[nodiscard]] StopAction stopped(unsigned cpu, const Exit& exit, Cpu& from) {
        return debuggee_.stopped(cpu, exit, from);
    }

    /// Before the run; completes when the guest may be prepared to run: it then does not begin before gdb lets it, if that
    /// is asked for. From here on a debugger is served.
    [[nodiscard]] static awaitable<void> start(std::shared_ptr<Server> self, DebugFeatures features);

    // What others than the debugger do. They complete when it has seen to it, or cannot soon. `self` may be null.

    /// The guest has been stopped: a debugger that waits for its next stop is told.
    [[nodiscard]] static awaitable<void> interrupt(std::shared_ptr<Server> self);
    /// The guest has to go on, whatever a debugger thinks.
    [[nodiscard]] static awaitable<void> let_go(std::shared_ptr<Server> self);

    /// The program ends with `code`; a debugger is told. Nothing is served any more.
    void close(int code) noexcept;

private:
    [[nodiscard]] static awaitable<void> serve(std::shared_ptr<Server> self);
    [[nodiscard]] static awaitable<void> serve_client(std::shared_ptr<Server> self);
    [[nodiscard]] std::shared_ptr<Client> make_client(std::unique_ptr<Connection> connection);
    [[nodiscard]] static awaitable<void> hold_crashed(std::shared_ptr<Server> self);
    [[nodiscard]] static awaitable<void> log_printed(std::shared_ptr<Server> self);
    void log_lines(std::string_view text);
    void end_line();
    [[nodiscard]] static awaitable<void> serve_streams(std::shared_ptr<Server> self);
    [[nodiscard]] static awaitable<void> refuse(std::shared_ptr<Server> self, UniqueFd socket);
    [[nodiscard]] static awaitable<void> limit_refusal(std::shared_ptr<Connection> connection);
    [[nodiscard]] static awaitable<void> come_to(std::shared_ptr<Server> self, bool halted);
    void spawn(awaitable<void> work);
    void say(const std::string& text) const { surroundings_.log("gdb: " + text); }

    const Spec spec_;
    const Surroundings surroundings_;
    Debuggee debuggee_;
    std::string where_;
    std::optional<PutBack> file_;  ///< of a Unix socket
    std::optional<Watched> listener_;
    std::shared_ptr<Client> client_;
    std::string line_;  ///< of log_printed(), as far as it has come
    std::shared_ptr<bool> closed_ = std::make_shared<bool>(false);
};

}  // namespace asyncvm::gdb
