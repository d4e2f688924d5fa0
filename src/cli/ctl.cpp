#include "cli/ctl.hpp"

#include "cli/console.hpp"
#include "control/client.hpp"
#include "control/schema.hpp"
#include "control/top.hpp"
#include "text/parse.hpp"
#include "text/suggest.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/outcome.hpp>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace asyncvm::cli {

namespace {

using control::Json;

constexpr std::string_view ctl_usage =
    "usage: asyncvm ctl PATH COMMAND [NAME=VALUE]...   carry out one command and print its answer\n"
    "       asyncvm ctl PATH hmp [cpu-index=N] WORDS...\n"
    "                                                  carry out a line of QEMU's monitor: info registers, x /2i '$rip'\n"
    "       asyncvm ctl PATH events                    print events as they come, until the machine ends\n"
    "       asyncvm ctl --commands                     the commands and their arguments\n"
    "\n"
    "PATH is the socket of asyncvm --control unix:PATH. A VALUE is a number (for sizes and addresses also 64K, 1M, 2G),\n"
    "true, false, JSON in brackets, or else text.\n"
    "\n"
    "Examples:\n"
    "  asyncvm ctl /tmp/vm.sock query-status\n"
    "  asyncvm ctl /tmp/vm.sock stop\n"
    "  asyncvm ctl /tmp/vm.sock pmemsave val=0x100000 size=4096 filename=/tmp/page\n"
    "  asyncvm ctl /tmp/vm.sock hmp info registers\n"
    "  asyncvm ctl /tmp/vm.sock query-commands\n";

constexpr std::string_view top_usage =
    "usage: asyncvm top PATH [SECONDS]   what a machine's vCPUs and devices do, again and again (default: each second)\n"
    "\n"
    "PATH is the socket of asyncvm --control unix:PATH --stats. On a terminal the table is redrawn in place.\n";

/// Also behind the socket's path, where people who have typed that already ask.
bool asks_for_help(std::span<const char* const> arguments) {
    return std::ranges::any_of(arguments.first(std::min<std::size_t>(arguments.size(), 2)), [](std::string_view word) {
        return word == "--help" || word == "-h";
    });
}

/// Hexadecimal too, which JSON has not.
Json parse_value(std::string_view text) {
    if (text.starts_with("0x")) {
        if (const auto number = parse_number(text)) return *number;
    }
    auto value = Json::parse(text, nullptr, false);
    return value.is_discarded() || value.is_string() ? Json(text) : value;
}

/// As on the command line: 64K, 0x10M. Everything else as it is, for the machine to judge.
Json parse_integer(std::string_view text) {
    std::string_view digits = text;
    const auto unit = take_unit(digits);
    const auto number = parse_number(digits);
    if (unit == 0 || !number || *number > (~std::uint64_t{0} >> unit)) return parse_value(text);
    return *number << unit;
}

/// " (pmemsave takes val= size= filename=)"; nothing for a command that this program does not know.
std::string taken_by(std::string_view command) {
    const auto* const known = control::find_command(command);
    if (known == nullptr) return {};
    std::string names;
    for (const auto& member : known->arguments) names += fmt::format(" {}=", member.name);
    return fmt::format(" ({} takes{})", command, names.empty() ? " no arguments" : names);
}

/// What a person can do about it, which programs do not need to be told.
std::string advice(std::string_view command, const control::CommandError& error) {
    if (error.error_class() == "CommandNotFound") {
        std::vector<std::string_view> names;
        for (const auto& known : control::commands()) names.push_back(known.name);
        const auto near = nearest(command, names);
        return near.empty() ? " (asyncvm ctl --commands lists them)" : fmt::format(" (did you mean {}?)", near);
    }
    const std::string_view what = error.what();
    if (what == "Invalid parameter 'protocol'") return " (example: protocol=file:/tmp/guest.core)";
    return what.starts_with("Parameter '") || what.starts_with("Invalid parameter") ? taken_by(command) : "";
}

/// No line of the monitor begins with "cpu-index=": in front of one it is the other argument.
Json monitor_line(std::span<const char* const> words) {
    constexpr std::string_view index = "cpu-index=";
    Json arguments = Json::object();
    if (std::string_view(words.front()).starts_with(index)) {
        arguments["cpu-index"] = parse_value(std::string_view(words.front()).substr(index.size()));
        words = words.subspan(1);
    }
    std::string line;
    for (const std::string_view word : words) line += fmt::format("{}{}", line.empty() ? "" : " ", word);
    arguments["command-line"] = line;
    return arguments;
}

/// What the command takes as text is text, whatever it looks like.
Json parse_arguments(std::string_view command, std::span<const char* const> words) {
    const auto* const known = control::find_command(command);
    const auto is = [known](std::string_view name, control::Type type) {
        return known != nullptr && std::ranges::any_of(known->arguments, [=](const control::Member& member) {
                   return member.name == name && member.type == type;
               });
    };
    Json arguments = Json::object();
    for (const std::string_view word : words) {
        const auto equals = word.find('=');
        if (equals == std::string_view::npos || equals == 0) {
            throw Error(ErrorKind::usage, fmt::format("asyncvm ctl: '{}' is not NAME=VALUE{}", word, taken_by(command)));
        }
        const auto name = word.substr(0, equals);
        const auto value = word.substr(equals + 1);
        arguments[std::string(name)] = is(name, control::Type::text)      ? Json(value)
                                       : is(name, control::Type::integer) ? parse_integer(value)
                                                                          : parse_value(value);
    }
    return arguments;
}

/// Text as people read it, everything else as JSON.
void print_answer(const Json& answer) {
    if (answer.is_string()) {
        auto text = answer.get<std::string>();
        std::erase(text, '\r');
        print_out(text.empty() || text.ends_with('\n') ? text : text + "\n");
    } else if (!answer.empty() || answer.is_array()) {
        print_out(answer.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    }
}

/// Until the machine ends. Returns the exit code.
int print_events(control::Client& client) {
    bool shut_down = false;
    while (const auto event = client.next_event()) {
        shut_down = shut_down || event->value("event", "") == "SHUTDOWN";
        print_out(control::to_text(*event) + "\n");
    }
    if (shut_down) return exit_code::success;
    print("events: the machine has ended without SHUTDOWN: it was killed, or has given this client up");
    return exit_code::host;
}

/// In place of what was there before. A terminal of which nothing is known has all of it.
std::string on_terminal(const std::string& table) {
    constexpr std::string_view home_and_clear = "\x1b[H\x1b[J";
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    return fmt::format("{}{}", home_and_clear, known ? control::fitted(table, size.ws_row, size.ws_col) : table);
}

}  // namespace

int run_ctl(std::span<const char* const> arguments) {
    if (asks_for_help(arguments)) {
        print_out(ctl_usage);
        return exit_code::success;
    }
    if (!arguments.empty() && std::string_view(arguments[0]) == "--commands") {
        print_out(control::command_lines());
        return exit_code::success;
    }
    if (!arguments.empty() && std::string_view(arguments[0]) == "--tables") {
        print_out(control::markdown_tables());
        return exit_code::success;
    }
    if (arguments.size() < 2) {
        throw Error(ErrorKind::usage,
                    "asyncvm ctl: a socket and a command are missing (example: asyncvm ctl /tmp/vm.sock query-status)");
    }
    const bool is_line = std::string_view(arguments[1]) == "hmp";
    if (is_line && arguments.size() == 2)
        throw Error(ErrorKind::usage, "asyncvm ctl: hmp needs a line (example: asyncvm ctl /tmp/vm.sock hmp info registers)");
    const std::string_view command = is_line ? "human-monitor-command" : arguments[1];
    const auto values = is_line ? monitor_line(arguments.subspan(2)) : parse_arguments(command, arguments.subspan(2));
    control::Client client(arguments[0]);
    if (command == "events") return print_events(client);
    try {
        print_answer(client.execute(command, values));
    } catch (const control::CommandError& error) {
        print(fmt::format("{}: {}{}", command, error.what(), advice(command, error)));
        return exit_code::refused;
    }
    return exit_code::success;
}

int run_top(std::span<const char* const> arguments) {
    if (asks_for_help(arguments)) {
        print_out(top_usage);
        return exit_code::success;
    }
    if (arguments.empty() || arguments.size() > 2) {
        throw Error(ErrorKind::usage, "asyncvm top: one socket is needed (example: asyncvm top /tmp/vm.sock)");
    }
    double seconds = 1;
    if (arguments.size() == 2) {
        const std::string_view text = arguments[1];
        const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
        if (error != std::errc() || stop != text.data() + text.size() || !(seconds >= 0.1) || seconds > 3600) {
            throw Error(ErrorKind::usage,
                        fmt::format("asyncvm top: '{}' is not a number of seconds from 0.1 to 3600", text));
        }
    }
    const bool redraw = ::isatty(STDOUT_FILENO) == 1;
    control::Client client(arguments[0]);
    Json before;
    try {
        for (;;) {
            Json now;
            try {
                now = client.execute("query-stats");
            } catch (const Error& error) {
                print(error.what());
                return exit_code::success;
            }
            const auto table = control::top_table(before, now);
            print_out(redraw ? on_terminal(table) : table + "\n");
            before = std::move(now);
            std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
        }
    } catch (const control::CommandError& error) {
        print(fmt::format("top: {}", error.what()));
        return exit_code::refused;
    }
}

}  // namespace asyncvm::cli
