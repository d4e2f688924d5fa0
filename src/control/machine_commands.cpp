#include "control/machine_commands.hpp"

#include "control/conversation.hpp"
#include "control/memory_file.hpp"
#include "x86/page_walk.hpp"

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <utility>

namespace asyncvm::control {

namespace {

std::string_view reason_of(Outcome::Kind kind) {
    switch (kind) {
        case Outcome::Kind::reset:
            return "guest-reset";
        case Outcome::Kind::triple_fault:
        case Outcome::Kind::crashed:
            return "guest-panic";
        case Outcome::Kind::failed:
            return "host-error";
        case Outcome::Kind::stopped:
            return "host-signal";
        case Outcome::Kind::halted:
        case Outcome::Kind::powered_off:
        case Outcome::Kind::exited:
        case Outcome::Kind::differed:
            break;
    }
    return "guest-shutdown";
}

Json reason(bool guest, std::string_view why) { return {{"guest", guest}, {"reason", why}}; }

std::uint64_t number(const Json& arguments, std::string_view name, std::uint64_t otherwise) {
    const auto found = arguments.find(name);
    return found == arguments.end() ? otherwise : found->get<std::uint64_t>();
}

bool kvm_can_be_used() {
    try {
        static_cast<void>(make_kvm_accelerator());
        return true;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

MachineCommands::MachineCommands(Subject subject, Tell tell)
    : subject_(std::move(subject)),
      view_(subject_.machine),
      tell_(std::move(tell)),
      held_(subject_.held),
      told_stopped_(held_),
      dump_(std::make_shared<MemoryDump>(
          subject_.machine, tell_,
          MemoryDump::Hold{.begin = [this] { return begin_dump(); }, .end = [this] { end_dump(); }})) {}

std::string_view MachineCommands::status() const noexcept {
    if (phase_ == Phase::ended) return "shutdown";
    if (phase_ == Phase::before || held_) return "prelaunch";
    if (dump_pause_) return "save-vm";
    if (debugged_) return *debugged_;
    return pause_ ? "paused" : "running";
}

Json MachineCommands::query_status() const {
    const auto name = status();
    return {{"status", name}, {"singlestep", false}, {"running", name == "running"}};
}

Json MachineCommands::query_devices() {
    Json all = Json::array();
    for (Bus* const bus : {&subject_.machine.ports(), &subject_.machine.mmio()}) {
        const bool port = bus == &subject_.machine.ports();
        for (const auto& [range, device] : bus->ranges()) {
            all.push_back(
                {{"device", device}, {"space", port ? "port" : "memory"}, {"address", range.first}, {"size", range.size}});
        }
    }
    return all;
}

awaitable<Json> MachineCommands::query_cpus() {
    Json all = Json::array();
    for (unsigned cpu = 0; cpu < subject_.machine.cpus(); ++cpu) {
        long thread = 0;
        const std::function<void(Cpu&)> ask = [&thread](Cpu&) { thread = ::gettid(); };
        co_await subject_.machine.call(cpu, ask);
        all.push_back({{"cpu-index", cpu},
                       {"qom-path", fmt::format("/machine/cpu[{}]", cpu)},
                       {"thread-id", thread},
                       {"target", "x86_64"}});
    }
    co_return all;
}

awaitable<Json> MachineCommands::query_kvm() {
    co_await subject_.machine.prepared();
    const bool enabled = subject_.runs_on_kvm();
    Json answer{{"enabled", enabled}, {"present", enabled || kvm_can_be_used()}};
    co_return answer;
}

awaitable<void> MachineCommands::hold() {
    // A client may have said `cont` already, or say so now.
    if (!held_) co_return;
    pause_ = co_await subject_.machine.pause();
    if (!held_) pause_.reset();
}

void MachineCommands::tell_whether_stopped() {
    if (told_stopped_ == stopped()) return;
    told_stopped_ = stopped();
    tell_(told_stopped_ ? "STOP" : "RESUME", Json::object());
}

awaitable<void> MachineCommands::stop() {
    if (pause_ || held_ || debugged_ || phase_ == Phase::ended) co_return;
    pause_ = co_await subject_.machine.pause();
    tell_whether_stopped();
    if (subject_.tell_debugger) co_await subject_.tell_debugger();
}

awaitable<void> MachineCommands::cont() {
    dump_->refuse_if_active();
    if (!debugged_) {
        go_on();
        co_return;
    }
    co_await subject_.debugger_go_on();
}

void MachineCommands::go_on() {
    held_ = false;
    const auto released = std::exchange(pause_, std::nullopt);
    tell_whether_stopped();
}

void MachineCommands::debugger_stopped(bool at_event) {
    // One that waits for gdb before its first instruction is held.
    if (phase_ == Phase::before) held_ = told_stopped_ = true;
    debugged_ = at_event ? "debug" : "paused";
    tell_whether_stopped();
}

/// As in QEMU there is one state: what a client has stopped goes on with the debugger's command, too.
void MachineCommands::debugger_goes_on() {
    debugged_.reset();
    go_on();
}

/// The guest stands while its memory is written.
awaitable<void> MachineCommands::begin_dump() {
    dump_pause_ = co_await subject_.machine.pause();
    tell_whether_stopped();
}

void MachineCommands::end_dump() {
    const auto released = std::exchange(dump_pause_, std::nullopt);
    tell_whether_stopped();
}

awaitable<void> MachineCommands::reset() {
    dump_->refuse_if_active();
    resetting_ = true;
    struct Done {
        bool& flag;
        ~Done() { flag = false; }
    } const done{resetting_};
    subject_.machine.expect_reset();
    co_await subject_.machine.reset();
}

void MachineCommands::was_reset() {
    tell_("RESET", reason(!resetting_, resetting_ ? "host-qmp-system-reset" : "guest-reset"));
}

void MachineCommands::quit() {
    if (!std::exchange(told_of_end_, true)) tell_("SHUTDOWN", reason(false, "host-qmp-quit"));
    subject_.quit();
}

void MachineCommands::run_ended(const Outcome& outcome) {
    phase_ = Phase::ended;
    if (std::exchange(told_of_end_, true)) return;
    const auto why = reason_of(outcome.kind);
    const bool guest = why.starts_with("guest");
    if (why == "guest-panic" || why == "host-error")
        tell_("CRASH", {{"summary", outcome.summary}, {"report", outcome.report}});
    tell_("SHUTDOWN", reason(guest, why));
}

awaitable<void> MachineCommands::inject_nmi() {
    for (unsigned cpu = 0; cpu < subject_.machine.cpus(); ++cpu) {
        bool raised = false;
        const std::function<void(Cpu&)> raise = [&raised](Cpu& vcpu) { raised = vcpu.raise_nmi(); };
        co_await subject_.machine.call(cpu, raise);
        if (!raised) throw CommandError("an NMI can't be raised here: the accelerator has none");
    }
}

awaitable<void> MachineCommands::save_memory(const Json& arguments, bool linear) {
    // A piece at a time: the loop's other work goes on, and the guest too.
    constexpr std::size_t piece = 256 << 10;
    const auto cpu = number(arguments, "cpu-index", 0);
    if (cpu >= subject_.machine.cpus()) throw CommandError("Parameter 'cpu-index' expects a CPU number");
    const auto from = number(arguments, "val", 0);
    const auto size = number(arguments, "size", 0);
    MemoryFile file(arguments.at("filename").get<std::string>());
    Registers registers;
    if (linear) {
        const std::function<void(Cpu&)> look = [&registers](Cpu& vcpu) { registers = vcpu.registers(); };
        co_await subject_.machine.call(static_cast<unsigned>(cpu), look);
    }
    const auto executor = co_await asio::this_coro::executor;
    const GuestMemory& memory = subject_.machine.memory();
    std::vector<std::byte> buffer(piece);
    for (std::uint64_t done = 0; done < size;) {
        const auto part = std::span(buffer).first(std::min<std::uint64_t>(piece, size - done));
        const auto got = linear ? read_linear(memory, registers, from + done, part) : memory.read(from + done, part);
        file.write(part.first(got));
        done += got;
        if (got < part.size()) {
            throw CommandError(fmt::format("there is no memory at {} address {:#x}: {} of {} bytes were written to the file",
                                           linear ? "virtual" : "physical", from + done, done, size));
        }
        co_await asio::post(executor, use_awaitable);
    }
    file.close();
}

awaitable<Json> MachineCommands::carry_out(const Command& command, const Json& arguments) {
    const auto name = command.name;
    Json answer = Json::object();
    if (name == "query-version") {
        answer = version();
    } else if (name == "query-commands") {
        answer = Json::array();
        for (const auto& one : commands()) answer.push_back({{"name", one.name}});
    } else if (name == "query-qmp-schema") {
        answer = describe();
    } else if (name == "query-status") {
        answer = query_status();
    } else if (name == "query-target") {
        answer = {{"arch", "x86_64"}};
    } else if (name == "query-kvm") {
        answer = co_await query_kvm();
    } else if (name == "query-memory-size-summary") {
        answer = {{"base-memory", subject_.machine.memory().ram_size()}};
    } else if (name == "query-cpus-fast") {
        answer = co_await query_cpus();
    } else if (name == "query-devices") {
        answer = query_devices();
    } else if (name == "query-stats") {
        if (!subject_.statistics) throw CommandError("statistics are not counted: start asyncvm with --stats");
        answer = to_json(subject_.machine.statistics());
    } else if (name == "stop") {
        co_await stop();
    } else if (name == "cont") {
        co_await cont();
    } else if (name == "system_reset") {
        co_await reset();
    } else if (name == "quit") {
        quit();
    } else if (name == "inject-nmi") {
        co_await inject_nmi();
    } else if (name == "memsave" || name == "pmemsave") {
        co_await save_memory(arguments, name == "memsave");
    } else if (name == "dump-guest-memory") {
        co_await MemoryDump::carry_out(dump_, arguments);
    } else if (name == "query-dump") {
        answer = dump_->status();
    } else if (name == "query-dump-guest-memory-capability") {
        answer = {{"formats", {"elf"}}};
    } else if (name == "human-monitor-command") {
        const auto line = arguments.at("command-line").get<std::string>();
        answer = co_await human(line, number(arguments, "cpu-index", 0));
    } else {
        for (const auto& group : subject_.groups) {
            auto theirs = co_await group->carry_out(command, arguments);
            if (!theirs) continue;
            answer = *std::move(theirs);
            break;
        }
    }
    co_return answer;
}

}  // namespace asyncvm::control
