#include "gdb/command.hpp"

#include <limits>
#include <optional>
#include <utility>

#include "gdb/hex.hpp"

namespace asyncvm::gdb {

namespace {

using Kind = Command::Kind;

Command simple(Kind kind) {
    Command command;
    command.kind = kind;
    return command;
}

Command malformed() { return simple(Kind::malformed); }

/// TID, or pPID.TID as gdb writes it where it knows of processes. -1 is all of them, 0 is any.
std::optional<int> take_thread(std::string_view& text) {
    if (take(text, "p")) {
        if (!take(text, "-1") && !take_number(text)) return std::nullopt;
        if (!take(text, ".")) return ThreadAction::all;
    }
    if (take(text, "-1")) return ThreadAction::all;
    const auto number = take_number(text);
    if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) return std::nullopt;
    return static_cast<int>(*number);
}

/// ADDRESS,LENGTH
bool take_range(std::string_view& text, Command& command) {
    const auto address = take_number(text);
    if (!address || !take(text, ",")) return false;
    const auto length = take_number(text);
    if (!length) return false;
    command.address = *address;
    command.length = *length;
    return true;
}

Command read(Kind kind, std::string_view text) {
    Command command = simple(kind);
    return take_range(text, command) && text.empty() ? command : malformed();
}

Command write_memory(std::string_view text, bool binary) {
    Command command = simple(Kind::write_memory);
    if (!take_range(text, command) || !take(text, ":")) return malformed();
    auto data = binary ? std::optional(std::string(text)) : from_hex(text);
    if (!data || data->size() != command.length) return malformed();
    command.data = std::move(*data);
    return command;
}

Command registers(std::string_view text) {
    auto data = from_hex(text);
    if (!data) return malformed();
    Command command = simple(Kind::write_registers);
    command.data = std::move(*data);
    return command;
}

Command one_register(Kind kind, std::string_view text) {
    Command command = simple(kind);
    const auto number = take_number(text);
    if (!number || *number > std::numeric_limits<unsigned>::max()) return malformed();
    command.number = static_cast<unsigned>(*number);
    if (kind == Kind::read_register) return text.empty() ? command : malformed();
    if (!take(text, "=")) return malformed();
    auto data = from_hex(text);
    if (!data) return malformed();
    command.data = std::move(*data);
    return command;
}

/// X and the number of bytes, a comma, the bytes; one after the other.
bool take_bytecodes(std::string_view& text, std::vector<std::string>& into) {
    while (take(text, "X")) {
        const auto size = take_number(text);
        if (!size || !take(text, ",") || *size > text.size() / 2) return false;
        auto code = from_hex(text.substr(0, *size * 2));
        if (!code) return false;
        into.push_back(std::move(*code));
        text.remove_prefix(*size * 2);
    }
    return !into.empty();
}

/// TYPE,ADDRESS,LENGTH[;CONDITIONS][;cmds:PERSIST,COMMANDS]
Command breakpoint(Kind kind, std::string_view text) {
    Command command = simple(kind);
    if (text.empty() || text[0] < '0' || text[0] > '4') return malformed();
    command.number = static_cast<unsigned>(text[0] - '0');
    text.remove_prefix(1);
    if (!take(text, ",") || !take_range(text, command)) return malformed();
    if (text.starts_with(";X")) {
        text.remove_prefix(1);
        if (!take_bytecodes(text, command.conditions)) return malformed();
    }
    if (take(text, ";cmds:")) {
        const auto persist = take_number(text);
        if (!persist || *persist > 1 || !take(text, ",") || !take_bytecodes(text, command.commands)) return malformed();
        command.persist = *persist == 1;
    }
    // What else may be behind them is of stubs that say that they know it.
    return text.empty() || text[0] == ';' ? command : malformed();
}

/// c, s, C and S, which may name an address to go on from; gdb writes the register itself.
Command old_resume(bool step, bool signal, std::string_view text) {
    if (signal) {
        if (!take_number(text)) return malformed();
        if (!text.empty()) return malformed();
    }
    if (!text.empty()) return malformed();
    Command command = simple(Kind::resume);
    command.actions.push_back({.step = step, .thread = 0});
    if (step) return command;
    command.actions.back().thread = ThreadAction::all;
    return command;
}

/// START,END
bool take_step_range(std::string_view& text, ThreadAction& action) {
    const auto from = take_number(text);
    if (!from || !take(text, ",")) return false;
    const auto until = take_number(text);
    if (!until) return false;
    action.from = *from;
    action.until = *until;
    return true;
}

/// ;ACTION[:THREAD]...
Command vcont(std::string_view text) {
    Command command = simple(Kind::resume);
    while (!text.empty()) {
        if (!take(text, ";") || text.empty()) return malformed();
        const char what = text[0];
        text.remove_prefix(1);
        // A signal means nothing to a processor.
        if ((what == 'C' || what == 'S') && !take_number(text)) return malformed();
        if (what != 'c' && what != 'C' && what != 's' && what != 'S' && what != 'r') return malformed();
        ThreadAction action{.step = what == 's' || what == 'S' || what == 'r'};
        if (what == 'r' && !take_step_range(text, action)) return malformed();
        if (take(text, ":")) {
            const auto thread = take_thread(text);
            if (!thread) return malformed();
            action.thread = *thread;
        }
        command.actions.push_back(action);
    }
    return command.actions.empty() ? malformed() : command;
}

Command thread_command(Kind kind, std::string_view text) {
    Command command = simple(kind);
    const auto thread = take_thread(text);
    if (!thread || !text.empty()) return malformed();
    command.thread = *thread;
    return command;
}

/// OBJECT:read:ANNEX:OFFSET,LENGTH
Command read_object(std::string_view text) {
    Command command = simple(Kind::read_object);
    const auto colon = text.find(':');
    if (colon == text.npos) return malformed();
    command.data = text.substr(0, colon);
    text.remove_prefix(colon + 1);
    if (!take(text, "read:")) return {};
    const auto end = text.rfind(':');
    if (end == text.npos) return malformed();
    command.text = text.substr(0, end);
    text.remove_prefix(end + 1);
    return take_range(text, command) && text.empty() ? command : malformed();
}

Command monitor(std::string_view text) {
    auto typed = from_hex(text);
    if (!typed) return malformed();
    Command command = simple(Kind::monitor);
    command.data = std::move(*typed);
    return command;
}

Command query(std::string_view text) {
    if (take(text, "Supported")) {
        Command command = simple(Kind::features);
        if (take(text, ":")) command.data = text;
        return command;
    }
    if (take(text, "Xfer:")) return read_object(text);
    if (text == "fThreadInfo") return simple(Kind::first_threads);
    if (text == "sThreadInfo") return simple(Kind::more_threads);
    if (text == "C") return simple(Kind::current_thread);
    if (text == "Attached" || text.starts_with("Attached:")) return simple(Kind::attached);
    if (take(text, "ThreadExtraInfo,")) return thread_command(Kind::thread_words, text);
    if (take(text, "Rcmd,")) return monitor(text);
    if (text == "qemu.PhyMemMode") return simple(Kind::physical_mode);
    if (text.starts_with("Symbol:")) return simple(Kind::accept);
    return {};
}

Command setting(std::string_view text) {
    if (text == "StartNoAckMode") return simple(Kind::no_acks);
    if (take(text, "qemu.PhyMemMode:")) {
        Command command = simple(Kind::set_physical_mode);
        if (text != "0" && text != "1") return malformed();
        command.number = text == "1" ? 1 : 0;
        return command;
    }
    return {};
}

Command verbose(std::string_view text) {
    if (text == "Cont?") return simple(Kind::can_vcont);
    if (take(text, "Cont")) return vcont(text);
    if (text == "Kill" || text.starts_with("Kill;")) return simple(Kind::kill);
    return {};
}

}  // namespace

Command parse_command(std::string_view packet) {
    if (packet.empty()) return {};
    const char what = packet[0];
    const std::string_view rest = packet.substr(1);
    switch (what) {
        case '!':
            return rest.empty() ? simple(Kind::extended) : Command{};
        case '?':
            return simple(Kind::why_stopped);
        case 'g':
            return rest.empty() ? simple(Kind::read_registers) : malformed();
        case 'G':
            return registers(rest);
        case 'p':
            return one_register(Kind::read_register, rest);
        case 'P':
            return one_register(Kind::write_register, rest);
        case 'm':
            return read(Kind::read_memory, rest);
        case 'x':
            return read(Kind::read_bytes, rest);
        case 'M':
            return write_memory(rest, false);
        case 'X':
            return write_memory(rest, true);
        case 'Z':
            return breakpoint(Kind::insert, rest);
        case 'z':
            return breakpoint(Kind::remove, rest);
        case 'c':
        case 's':
            return old_resume(what == 's', false, rest);
        case 'C':
        case 'S':
            return old_resume(what == 'S', true, rest);
        case 'D':
            return simple(Kind::detach);
        case 'k':
            return simple(Kind::kill_and_tell);
        case 'H':
            // Hc is of the old commands to go on.
            if (rest.starts_with('c')) return simple(Kind::accept);
            return rest.starts_with('g') ? thread_command(Kind::select_thread, rest.substr(1)) : malformed();
        case 'T':
            return thread_command(Kind::thread_alive, rest);
        case 'q':
            return query(rest);
        case 'Q':
            return setting(rest);
        case 'v':
            return verbose(rest);
        default:
            return {};
    }
}

}  // namespace asyncvm::gdb
