// What a client answers while the guest stands.
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "gdb/client.hpp"
#include "gdb/hex.hpp"
#include "gdb/monitor.hpp"

namespace asyncvm::gdb {

namespace {

using Kind = Command::Kind;

constexpr std::string_view invalid = "E16";                        // EINVAL, as gdb's File-I/O numbers it
constexpr std::string_view no_memory_there = "E0e";                // EFAULT
constexpr std::size_t most_read = PacketReader::longest / 2 - 16;  ///< bytes of memory in a reply of hexadecimal digits

/// The piece of a text that qXfer asks for: with "m" in front of it, or "l" if it is the last.
std::string piece(std::string_view text, std::uint64_t offset, std::uint64_t length) {
    if (offset >= text.size()) return "l";
    const auto part = text.substr(offset, std::min<std::uint64_t>(length, PacketReader::longest / 2));
    return (offset + part.size() < text.size() ? "m" : "l") + std::string(part);
}

awaitable<std::string> known(std::string reply) { co_return reply; }

}  // namespace

std::string Client::reply_at_once(const Command& command) {
    switch (command.kind) {
        case Kind::malformed:
            return std::string(invalid);
        case Kind::extended:
        case Kind::accept:
            return "OK";
        case Kind::can_vcont:
            return "vCont;c;C;s;S;r";
        case Kind::select_thread:
        case Kind::thread_alive: {
            const auto cpu = cpu_of(command.thread);
            if (cpu && command.kind == Kind::select_thread) cpu_ = *cpu;
            return std::string(cpu ? "OK" : invalid);
        }
        case Kind::features:
            return fmt::format(
                "PacketSize={:x};qXfer:features:read+;qXfer:threads:read+;vContSupported+;swbreak+;hwbreak+;"
                "ConditionalBreakpoints+;BreakpointCommands+;QStartNoAckMode+;binary-upload+",
                PacketReader::longest);
        case Kind::first_threads:
        case Kind::more_threads:
        case Kind::current_thread:
            return reply_about_threads(command);
        case Kind::attached:
            return "1";
        case Kind::physical_mode:
            return machine_.physical() ? "1" : "0";
        case Kind::set_physical_mode:
            machine_.set_physical(command.number == 1);
            return "OK";
        default:
            return {};
    }
}

awaitable<std::string> Client::reply_in_words(Command command) {
    std::string words;
    if (command.kind == Kind::monitor) {
        words = co_await monitor(machine_, cpu_, command.data, surroundings_.monitor);
    } else if (const auto cpu = cpu_of(command.thread)) {
        words = co_await thread_words(*cpu);
    } else {
        co_return std::string(invalid);
    }
    // An empty reply is that to an unknown packet.
    co_return words.empty() ? "OK" : to_hex(words);
}

/// No coroutine itself: with all of these awaits in one, g++ 12 warns of the frame's own memory.
awaitable<std::string> Client::reply_to(Command command) {
    switch (command.kind) {
        case Kind::why_stopped:
            return stop_reply();
        case Kind::read_registers:
        case Kind::write_registers:
        case Kind::read_register:
        case Kind::write_register:
            return reply_about_registers(std::move(command));
        case Kind::read_memory:
        case Kind::read_bytes:
        case Kind::write_memory:
            return reply_about_memory(std::move(command));
        case Kind::insert:
        case Kind::remove:
            return reply_about_breakpoint(std::move(command));
        case Kind::read_object:
            return read_object(std::move(command));
        case Kind::thread_words:
        case Kind::monitor:
            return reply_in_words(std::move(command));
        default:
            return known(reply_at_once(command));
    }
}

awaitable<std::string> Client::reply_about_registers(Command command) {
    co_await choose_width();
    const bool all = command.kind == Kind::read_registers || command.kind == Kind::write_registers;
    const RegisterEntry* const entry = all ? nullptr : file_->find(command.number);
    if (!all && entry == nullptr) co_return std::string(invalid);
    const Source source = all ? Source::core : entry->source;
    RegisterValues values = co_await machine_.values(cpu_, source);
    if (command.kind == Kind::read_registers) co_return file_->read_general(values.core);
    if (command.kind == Kind::read_register) co_return file_->read(values, command.number).value();
    bool written =
        all ? file_->write_general(values.core, command.data) : file_->write(values, command.number, command.data);
    if (written && source == Source::core) machine_.set_registers(cpu_, values.core);
    if (written && source == Source::fpu) written = co_await machine_.set_fpu(cpu_, *values.fpu);
    if (written && source == Source::msrs) {
        written = co_await machine_.set_msr(cpu_, entry->index, values.msrs[entry->index]);
    }
    co_return written ? "OK" : std::string(invalid);
}

awaitable<std::string> Client::reply_about_memory(Command command) {
    if (command.kind == Kind::write_memory) {
        const auto bytes = std::as_bytes(std::span(command.data));
        const std::size_t count = co_await machine_.write(cpu_, command.address, bytes);
        co_return count == bytes.size() ? "OK" : std::string(no_memory_there);
    }
    std::vector<std::byte> bytes(std::min<std::uint64_t>(command.length, most_read));
    const std::size_t count = co_await machine_.read(cpu_, command.address, bytes);
    if (count == 0 && !bytes.empty()) co_return std::string(no_memory_there);
    bytes.resize(count);
    if (command.kind == Kind::read_memory) co_return to_hex(bytes);
    std::string reply(bytes.size() + 1, 'b');
    std::ranges::transform(bytes, reply.begin() + 1, [](std::byte byte) { return static_cast<char>(byte); });
    co_return reply;
}

awaitable<std::string> Client::reply_about_breakpoint(Command command) {
    const auto type = static_cast<Breakpoints::Type>(command.number);
    if (command.kind == Kind::remove) {
        machine_.remove(type, command.address, command.length);
        co_return "OK";
    }
    Breakpoints::Conditions conditions(std::make_move_iterator(command.conditions.begin()),
                                       std::make_move_iterator(command.conditions.end()));
    Breakpoints::Commands commands{.persist = command.persist};
    for (auto& code : command.commands) commands.list.emplace_back(std::move(code), AgentExpression::Use::command);
    if (!conditions.empty() || !commands.list.empty()) co_await choose_width();
    const bool possible =
        co_await machine_.insert(cpu_, type, command.address, command.length, std::move(conditions), std::move(commands));
    // An empty reply: no breakpoints of this type.
    co_return possible ? "OK" : "";
}

std::string Client::reply_about_threads(const Command& command) const {
    if (command.kind == Kind::more_threads) return "l";
    if (command.kind == Kind::current_thread) return fmt::format("QC{:x}", cpu_ + 1);
    std::string list = "m1";
    for (unsigned cpu = 1; cpu < machine_.cpus(); ++cpu) list += fmt::format(",{:x}", cpu + 1);
    return list;
}

awaitable<std::string> Client::thread_words(unsigned cpu) {
    const Registers registers = co_await machine_.registers(cpu);
    co_return fmt::format("vCPU {}: {}", cpu, where(registers));
}

awaitable<std::string> Client::read_object(Command command) {
    if (command.data == "features") {
        if (command.text != "target.xml") co_return "E00";
        co_await choose_width();
        co_return piece(file_->description(), command.address, command.length);
    }
    if (command.data != "threads") co_return "";
    std::string xml = "<?xml version=\"1.0\"?><threads>";
    for (unsigned cpu = 0; cpu < machine_.cpus(); ++cpu) {
        const std::string words = co_await thread_words(cpu);
        xml += fmt::format(R"(<thread id="{:x}" core="{}">{}</thread>)", cpu + 1, cpu, words);
    }
    co_return piece(xml + "</threads>", command.address, command.length);
}

}  // namespace asyncvm::gdb
