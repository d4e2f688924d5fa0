#include "gdb/client.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "gdb/hex.hpp"
#include "gdb/monitor.hpp"

namespace asyncvm::gdb {

namespace {

constexpr std::size_t most_waiting = 64;  ///< packets; more stay in the kernel
constexpr int signal_int = 2;
/// In which a debugger that steps asks for more, as a rule: two wakes of a thread on an idle host.
constexpr std::chrono::microseconds next_step{100};
constexpr std::size_t most_printed = 0x1000;  ///< bytes in a packet of two digits each

/// What dprintfs have printed, for gdb to show: it takes such packets while it waits for a stop.
std::string console_packet(const std::string& text) { return "O" + to_hex(text); }

}  // namespace

Client::Client(std::unique_ptr<Connection> connection, Surroundings surroundings)
    : connection_(std::move(connection)), surroundings_(std::move(surroundings)), machine_(surroundings_.machine) {}

awaitable<Client::End> Client::serve(std::shared_ptr<Client> self) {
    const auto executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, receive(self), [self](const std::exception_ptr&) {
        self->connected_ = false;
        if (!*self->surroundings_.closed) self->machine_.changed().notify();
    });
    co_await self->converse();
    self->connection_->close();
    if (*self->surroundings_.closed) co_return End::ended;
    if (self->attached_ && self->end_ != End::ended) co_await self->machine_.leave();
    co_return self->end_;
}

awaitable<void> Client::receive(std::shared_ptr<Client> self) {
    std::array<std::byte, 4096> bytes{};
    for (;;) {
        const std::size_t count = co_await self->connection_->read(bytes);
        if (count == 0 || *self->surroundings_.closed) co_return;
        std::vector<Received> all;
        self->reader_.take(std::span(bytes).first(count), all);
        for (auto& one : all) self->inbox_.push_back(std::move(one));
        self->machine_.changed().notify();
        while (self->inbox_.size() > most_waiting) {
            const auto seen = self->machine_.changed().generation();
            co_await self->machine_.changed().wait(seen);
            if (*self->surroundings_.closed) co_return;
        }
    }
}

/// Until the conversation is over.
awaitable<void> Client::converse() {
    for (;;) {
        const auto seen = machine_.changed().generation();
        if (over_ || *surroundings_.closed) co_return;
        if (!inbox_.empty()) {
            Received received = std::move(inbox_.front());
            inbox_.pop_front();
            if (inbox_.size() == most_waiting) machine_.changed().notify();
            co_await take(std::move(received));
            continue;
        }
        if (running_ && (interrupted_ || machine_.stop())) {
            co_await tell_stop();
            continue;
        }
        if (running_ && !machine_.printed().empty()) {
            co_await tell_printed();
            // A guest that prints all the time leaves the loop to others, and lets Ctrl-C come.
            const auto executor = co_await asio::this_coro::executor;
            co_await asio::post(executor, use_awaitable);
            continue;
        }
        if (!running_ && std::exchange(let_go_, false)) {
            if (machine_.halted()) co_await machine_.go_on();
            continue;
        }
        // It went on without gdb, and has come to a breakpoint.
        if (!running_ && attached_ && !machine_.halted() && machine_.stop()) {
            co_await machine_.halt();
            continue;
        }
        if (!connected_) co_return;
        co_await machine_.changed().wait(seen);
    }
}

bool Client::interrupt() {
    interrupted_ = running_;
    machine_.changed().notify();
    return interrupted_;
}

void Client::let_go() {
    let_go_ = !running_;
    machine_.changed().notify();
}

awaitable<void> Client::take(Received received) {
    switch (received.kind) {
        case Received::Kind::interrupt:
            interrupted_ = running_;
            co_return;
        case Received::Kind::resend:
            if (acks_ && !last_sent_.empty()) over_ = !co_await connection_->write(last_sent_);
            co_return;
        case Received::Kind::damaged:
            if (acks_) over_ = !co_await connection_->write("-");
            co_return;
        case Received::Kind::packet:
            break;
    }
    if (acks_) {
        const bool sent = co_await connection_->write("+");
        if (!sent) over_ = true;
    }
    if (over_) co_return;
    // Who only looks whether the port is open does not stop the guest.
    if (!attached_) {
        attached_ = true;
        machine_.attach(true);
        co_await machine_.halt();
        const auto stop = machine_.stop();
        if (stop) cpu_ = stop->cpu;
    }
    Command command = parse_command(received.text);
    co_await answer(std::move(command));
}

awaitable<void> Client::answer(Command command) {
    using Kind = Command::Kind;
    // While the guest runs gdb asks for nothing but a stop.
    if (running_) co_return;
    // Unless somebody else has let the guest go on it stands already.
    co_await machine_.halt();
    switch (command.kind) {
        case Kind::resume:
            co_await resume(std::move(command.actions));
            co_return;
        case Kind::no_acks: {
            co_await send("OK");
            acks_ = false;
            reader_.trust();
            co_return;
        }
        case Kind::detach: {
            co_await send("OK");
            over_ = true;
            end_ = End::detached;
            co_return;
        }
        case Kind::kill:
        case Kind::kill_and_tell: {
            co_await send(command.kind == Kind::kill ? "OK" : "X09");
            over_ = true;
            end_ = End::ended;
            surroundings_.monitor.kill();
            co_return;
        }
        default:
            break;
    }
    std::string reply;
    try {
        reply = co_await reply_to(std::move(command));
    } catch (const Error&) {
        reply = "E05";  // EIO: what the host refuses
    }
    if (!over_) co_await send(std::move(reply));
}

awaitable<void> Client::resume(std::vector<ThreadAction> actions) {
    // Thread 0 is any: the one that gdb talks of.
    for (auto& action : actions) {
        if (action.thread == 0) action.thread = static_cast<int>(cpu_) + 1;
    }
    // Ctrl-C that has come before counts for what was before.
    interrupted_ = false;
    running_ = true;
    co_await machine_.go_on(std::move(actions));
}

/// The guest has stopped by itself, or has to.
awaitable<void> Client::tell_stop() {
    co_await machine_.halt();
    // What came before the stop is shown before it.
    while (!over_ && !machine_.printed().empty()) co_await tell_printed();
    if (over_) co_return;
    running_ = false;
    const auto stop = machine_.stop();
    if (stop) cpu_ = stop->cpu;
    std::string reply = co_await stop_reply();
    interrupted_ = false;
    co_await send(std::move(reply));
    if (stop && stop->why == Stop::Why::step) connection_->look_for_bytes(next_step);
}

awaitable<void> Client::tell_printed() {
    std::string packet = console_packet(machine_.printed().take(most_printed));
    co_await send(std::move(packet));
}

awaitable<std::string> Client::stop_reply() {
    Stop stop;
    stop.cpu = cpu_;
    if (interrupted_) stop.signal = signal_int;
    if (const auto known = machine_.stop()) stop = *known;
    std::string text = fmt::format("T{:02x}", stop.signal);
    switch (stop.why) {
        case Stop::Why::breakpoint:
            text += "swbreak:;";
            break;
        case Stop::Why::hardware_breakpoint:
            text += "hwbreak:;";
            break;
        case Stop::Why::watchpoint:
            text += fmt::format("{}:{:x};", stop.watch == Breakpoints::Type::write ? "watch" : "awatch", stop.address);
            break;
        case Stop::Why::asked:
        case Stop::Why::step:
        case Stop::Why::crash:
            break;
    }
    // The program counter comes along: gdb looks at it first.
    co_await choose_width();
    const RegisterValues values = co_await machine_.values(stop.cpu, Source::core);
    text += fmt::format("{:x}:{};thread:{:x};", file_->pc(), file_->read(values, file_->pc()).value(), stop.cpu + 1);
    co_return text;
}

/// Once for a connection.
awaitable<void> Client::choose_width() {
    if (file_) co_return;
    const RegisterValues values = co_await machine_.values(0, Source::fpu);
    file_ = std::make_shared<const RegisterFile>(surroundings_.width.value_or(width_of(values.core)),
                                                 values.fpu && values.fpu->avx);
    machine_.set_register_file(file_);
}

awaitable<void> Client::send(std::string text) {
    last_sent_ = frame(text);
    const bool sent = co_await connection_->write(last_sent_);
    if (!sent) over_ = true;
}

void Client::guest_ended(int code) noexcept {
    try {
        std::string last;
        while (running_ && !machine_.printed().empty()) last += frame(console_packet(machine_.printed().take(most_printed)));
        if (attached_) connection_->write_now(last + frame(fmt::format("W{:02x}", code & 0xff)));
    } catch (const std::exception&) {
        // Without memory it hears nothing but the end of the connection.
    }
    over_ = true;
    end_ = End::ended;
    connection_->close();
}

std::optional<unsigned> Client::cpu_of(int thread) const {
    if (thread <= 0) return cpu_;
    if (static_cast<unsigned>(thread) > machine_.cpus()) return std::nullopt;
    return static_cast<unsigned>(thread - 1);
}

}  // namespace asyncvm::gdb
