/// All that a program needs to give a machine a control socket.
#pragma once

#include "control/block_commands.hpp"
#include "control/machine_commands.hpp"
#include "control/place.hpp"

#include <asyncvm/log.hpp>
#include <asyncvm/observer.hpp>

#include <memory>
#include <optional>

namespace asyncvm::control {

class Server;

/// Everything on the device loop's thread, or before it runs. Its observer is the machine's and the chardevs'.
class Steering {
public:
    /// Listens from now on; nobody is answered before start(). Throws Error(host).
    Steering(asio::io_context& loop, const Place& place, Log log);
    /// Ends all connections.
    ~Steering();
    Steering(const Steering&) = delete;
    Steering& operator=(const Steering&) = delete;

    [[nodiscard]] const std::shared_ptr<Observer>& observer() const noexcept { return observer_; }

    /// Before start(): it can be changed by a client.
    void add_disk(Disk disk);

    /// What `subject` names outlives this object.
    void start(Subject subject);

    /// Before the run, of a Subject that is held: the guest begins when a client says `cont`.
    [[nodiscard]] awaitable<void> hold();

    // MachineCommands::debugger_stopped() and debugger_goes_on().
    void debugger_stopped(bool at_event);
    void debugger_goes_on();

    /// Tells every client how the run ended, and completes when they know, or do not listen.
    [[nodiscard]] awaitable<void> run_ended(Outcome outcome);

private:
    struct State;
    class Watch;
    std::shared_ptr<State> state_;
    std::shared_ptr<Observer> observer_;
};

}  // namespace asyncvm::control
