// What a client answers while the guest stands.
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
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

}  // namespace

awaitable<std::string> Client::reply_to(Command command) {
    std::string reply;
    switch (command.kind) {
        case Kind::unknown:
            break;
        case Kind::malformed:
            reply = invalid;
            break;
        case Kind::extended:
        case Kind::accept:
            reply = "OK";
            break;
        case Kind::why_stopped:
            reply = co_await stop_reply();
            break;
        case Kind::read_registers:
        case Kind::write_registers:
        case Kind::read_register:
        case Kind::write_register:
            reply = co_await reply_about_registers(std::move(command));
            break;
        case Kind::read_memory:
        case Kind::read_bytes:
        case Kind::write_memory:
            reply = co_await reply_about_memory(std::move(command));
            break;
        case Kind::insert:
        case Kind::remove:
            reply = co_await reply_about_breakpoint(std::move(command));
            break;
        case Kind::can_vcont:
            reply = "vCont;c;C;s;S";
            break;
        case Kind::select_thread:
        case Kind::thread_alive: {
            const auto cpu = cpu_of(command.thread);
            if (cpu && command.kind == Kind::select_thread) cpu_ = *cpu;
            reply = cpu ? "OK" : invalid;
            break;
        }
        case Kind::features:
            reply = fmt::format(
                "PacketSize={:x};qXfer:features:read+;qXfer:threads:read+;vContSupported+;swbreak+;hwbreak+;"
                "QStartNoAckMode+;binary-upload+",
                PacketReader::longest);
            break;
        case Kind::read_object:
            reply = co_await read_object(std::move(command));
            break;
        case Kind::first_threads:
        case Kind::more_threads:
        case Kind::current_thread:
            reply = reply_about_threads(command);
            break;
        case Kind::attached:
            reply = "1";
            break;
        case Kind::thread_words: {
            const auto cpu = cpu_of(command.thread);
            if (!cpu) {
                reply = invalid;
                break;
            }
            const std::string words = co_await thread_words(*cpu);
            reply = to_hex(words);
            break;
        }
        case Kind::monitor: {
            const std::string text = co_await monitor(machine_, cpu_, std::move(command.data), surroundings_.kill);
            reply = to_hex(text);
            break;
        }
        case Kind::physical_mode:
            reply = machine_.physical() ? "1" : "0";
            break;
        case Kind::set_physical_mode:
            machine_.set_physical(command.number == 1);
            reply = "OK";
            break;
        case Kind::resume:
        case Kind::detach:
        case Kind::kill:
        case Kind::no_acks:
            break;
    }
    co_return reply;
}

awaitable<std::string> Client::reply_about_registers(Command command) {
    co_await choose_width();
    Registers registers = co_await machine_.registers(cpu_);
    if (command.kind == Kind::read_registers) co_return file_->read_general(registers);
    if (command.kind == Kind::read_register) {
        co_return file_->read(registers, command.number).value_or(std::string(invalid));
    }
    const bool written = command.kind == Kind::write_registers ? file_->write_general(registers, command.data)
                                                               : file_->write(registers, command.number, command.data);
    if (!written) co_return std::string(invalid);
    machine_.set_registers(cpu_, registers);
    co_return "OK";
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
    std::string reply = "b";
    for (const std::byte byte : bytes) reply += static_cast<char>(byte);
    co_return reply;
}

awaitable<std::string> Client::reply_about_breakpoint(Command command) {
    const auto type = static_cast<Breakpoints::Type>(command.number);
    if (command.kind == Kind::remove) {
        machine_.remove(type, command.address, command.length);
        co_return "OK";
    }
    const bool possible = co_await machine_.insert(cpu_, type, command.address, command.length);
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
