#include "cli/trace_command.hpp"

#include "cli/console.hpp"
#include "text/errno_text.hpp"
#include "timeline/picture.hpp"
#include "timeline/summary.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/outcome.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm::cli {

namespace {

constexpr std::string_view trace_usage =
    "usage: asyncvm trace FILE                  what a trace of asyncvm --trace tells: vCPUs, devices, longest waits\n"
    "       asyncvm trace FILE --svg PICTURE    draw it; --from SECONDS and --to SECONDS choose a part\n"
    "\n"
    "\"-\" is the standard input, or the standard output for a picture.\n"
    "\n"
    "Examples:\n"
    "  asyncvm trace run.pftrace\n"
    "  asyncvm trace run.pftrace --svg run.svg --from 0.5 --to 0.75\n";

[[noreturn]] void refuse_trace(const std::string& message) { throw Error(ErrorKind::usage, "asyncvm trace: " + message); }

/// In nanoseconds.
std::uint64_t parse_seconds(std::string_view option, std::string_view text) {
    double seconds = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || stop != text.data() + text.size() || !(seconds >= 0) || seconds > 1e9)
        refuse_trace(fmt::format("{} {} is no number of seconds (example: {} 0.5)", option, text, option));
    return static_cast<std::uint64_t>(seconds * 1e9);
}

using CFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string read_trace_file(const std::string& path) {
    const CFile file(path == "-" ? ::fdopen(::dup(STDIN_FILENO), "rb") : std::fopen(path.c_str(), "rb"), std::fclose);
    std::string content;
    if (file) {
        char block[65536];
        for (std::size_t got = 1; got > 0;) {
            got = std::fread(block, 1, sizeof block, file.get());
            content.append(block, got);
        }
    }
    if (!file || std::ferror(file.get()) != 0)
        throw Error(ErrorKind::guest_image, fmt::format("cannot read the trace {}: {}", path, reason(errno)));
    return content;
}

void write_picture(const std::string& path, std::string_view content) {
    if (path == "-") return print_out(content);
    CFile file(std::fopen(path.c_str(), "wb"), std::fclose);
    const bool written = file && std::fwrite(content.data(), 1, content.size(), file.get()) == content.size();
    if (!written || std::fclose(file.release()) != 0)
        throw Error(ErrorKind::host, fmt::format("cannot write the picture {}: {}", path, reason(errno)));
}

}  // namespace

int run_trace(std::span<const char* const> arguments) {
    const char* path = nullptr;
    const char* svg = nullptr;
    timeline::Part part;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view word = arguments[i];
        if (word == "--help" || word == "-h") {
            print_out(trace_usage);
            return exit_code::success;
        }
        if (word == "--svg" || word == "--from" || word == "--to") {
            if (++i == arguments.size()) refuse_trace(fmt::format("{} needs a value", word));
            if (word == "--svg") svg = arguments[i];
            if (word == "--from") part.from = parse_seconds(word, arguments[i]);
            if (word == "--to") part.to = parse_seconds(word, arguments[i]);
        } else if (word.starts_with("--")) {
            refuse_trace(fmt::format("unknown option: {} (it knows --svg, --from and --to)", word));
        } else if (path != nullptr) {
            refuse_trace(fmt::format("unexpected argument: {}", word));
        } else {
            path = arguments[i];
        }
    }
    if (path == nullptr) refuse_trace("a file is missing (example: asyncvm trace run.pftrace)");
    if (part.to && *part.to <= part.from) refuse_trace("--to must be later than --from");
    if (svg == nullptr && (part.to || part.from != 0)) refuse_trace("--from and --to are for --svg");
    const auto content = read_trace_file(path);
    const auto trace = timeline::is_chrome(content) ? timeline::read_chrome(content) : timeline::read_perfetto(content);
    if (trace.events == 0) {
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} is no trace, or an empty one (asyncvm --trace FILE makes one)", path));
    }
    if (svg != nullptr) {
        write_picture(svg, timeline::picture(trace, part));
    } else {
        print_out(timeline::summary(trace));
    }
    return exit_code::success;
}

}  // namespace asyncvm::cli
