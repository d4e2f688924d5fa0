#include "control/steering.hpp"

#include "control/server.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::control {

/// Shared with the observer, which the machine keeps, and with commands that are carried out.
struct Steering::State {
    explicit State(asio::io_context& device_loop) : loop(device_loop) {}
    asio::io_context& loop;
    std::vector<Disk> disks{};
    std::shared_ptr<Server> server;
    std::optional<MachineCommands> commands;
};

/// Its calls come on the device loop.
class Steering::Watch final : public Observer {
public:
    explicit Watch(std::shared_ptr<State> state) : state_(std::move(state)) {}

    void run_begins(const MachineLayout& /*layout*/) noexcept override {
        if (state_->commands) state_->commands->run_begins();
    }
    void was_reset() noexcept override {
        if (state_->commands) state_->commands->was_reset();
    }
    void chardev(std::string_view label, ChardevEvent event) noexcept override {
        const auto name = event == ChardevEvent::connected ? "CLIENT-CONNECTED" : "CLIENT-DISCONNECTED";
        state_->server->tell(name, {{"label", label}});
    }

private:
    const std::shared_ptr<State> state_;
};

namespace {

// The coroutine keeps what it works on alive.
awaitable<Json> execute(std::shared_ptr<std::optional<MachineCommands>> commands, const Command& command,
                        const Json& arguments) {
    Json answer = co_await (*commands)->carry_out(command, arguments);
    co_return answer;
}

}  // namespace

Steering::Steering(asio::io_context& loop, const Place& place, Log log) : state_(std::make_shared<State>(loop)) {
    const Server::Execute run = [weak = std::weak_ptr(state_)](const Command& command, const Json& arguments) {
        const auto state = weak.lock();
        return execute(std::shared_ptr<std::optional<MachineCommands>>(state, &state->commands), command, arguments);
    };
    state_->server = std::make_shared<Server>(loop, place, std::move(log), run);
    observer_ = std::make_shared<Watch>(state_);
}

Steering::~Steering() { state_->server->close(); }

void Steering::add_disk(Disk disk) { state_->disks.push_back(std::move(disk)); }

void Steering::start(Subject subject) {
    const auto tell = [server = state_->server.get()](std::string_view name, const Json& data) { server->tell(name, data); };
    subject.groups.push_back(make_block_commands(state_->disks, state_->loop, tell));
    const bool held = subject.held;
    state_->commands.emplace(std::move(subject), tell);
    state_->server->start(held);
}

awaitable<void> Steering::hold() { co_await state_->commands->hold(); }

void Steering::debugger_stopped(bool at_event) { state_->commands->debugger_stopped(at_event); }
void Steering::debugger_goes_on() { state_->commands->debugger_goes_on(); }

awaitable<void> Steering::run_ended(Outcome outcome) {
    constexpr std::chrono::milliseconds patience{200};
    if (!state_->commands) co_return;
    state_->commands->run_ended(outcome);
    co_await state_->server->delivered(patience);
}

}  // namespace asyncvm::control
