#include "trace/json_format.hpp"

#include <fmt/format.h>

#include <iterator>

namespace asyncvm::trace {

namespace {

void append_text(std::string& out, std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(c);
        } else if (byte < 0x20 || byte > 0x7e) {
            // What is no ASCII may be no UTF-8 either: names of files, for example.
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
        } else {
            out.push_back(c);
        }
    }
}

}  // namespace

void JsonFormat::begin(const Clocks& clocks, int pid, std::string_view process) {
    pid_ = pid;
    fmt::format_to(std::back_inserter(out()),
                   "[\n{{\"ph\":\"M\",\"pid\":{},\"tid\":1,\"name\":\"clocks\",\"args\":{{\"clock\":\"CLOCK_BOOTTIME\","
                   "\"boottime\":{},\"monotonic\":{},\"realtime\":{}}}}}",
                   pid, clocks.boottime, clocks.monotonic, clocks.realtime);
    metadata(tracks::process, "process_name", process);
}

void JsonFormat::end() { out() += "\n]\n"; }

void JsonFormat::metadata(Track track, std::string_view what, std::string_view name) {
    fmt::format_to(std::back_inserter(out()),
                   ",\n{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"{}\",\"args\":{{\"name\":\"", pid_, track, what);
    append_text(out(), name);
    out() += "\"}}";
}

void JsonFormat::declare(Track track, Track parent, std::string_view name, TrackKind kind) {
    // A counter has its name with each value, and belongs to the process.
    if (kind == TrackKind::bytes) return;
    metadata(track, "thread_name", parent == tracks::device_loop ? fmt::format("device loop: {}", name) : std::string(name));
    fmt::format_to(std::back_inserter(out()),
                   ",\n{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{}}}}}",
                   pid_, track, track);
}

void JsonFormat::open(const Event& event, char phase) {
    fmt::format_to(std::back_inserter(out()), ",\n{{\"ph\":\"{}\",\"pid\":{},\"tid\":{},\"ts\":{}.{:03}", phase, pid_,
                   event.track, event.time / 1000, event.time % 1000);
}

void JsonFormat::write_name(std::string_view name) {
    out() += ",\"name\":\"";
    append_text(out(), name);
    out() += '"';
}

void JsonFormat::write_arguments(std::span<const Argument> arguments) {
    if (arguments.empty()) return;
    out() += ",\"args\":{";
    for (const Argument& argument : arguments) {
        if (&argument != arguments.data()) out() += ',';
        fmt::format_to(std::back_inserter(out()), "\"{}\":", argument.name);
        if (!argument.text.empty()) {
            out() += '"';
            append_text(out(), argument.text);
            out() += '"';
        } else if (argument.hexadecimal) {
            fmt::format_to(std::back_inserter(out()), "\"{:#x}\"", argument.value);
        } else {
            fmt::format_to(std::back_inserter(out()), "{}", argument.value);
        }
    }
    out() += '}';
}

void JsonFormat::write_flows(const Event& event) {
    const auto write = [&](std::uint64_t id, char phase) {
        if (id == 0) return;
        open(event, phase);
        fmt::format_to(std::back_inserter(out()), ",\"name\":\"interrupt\",\"cat\":\"interrupt\",\"id\":{}{}}}", id,
                       phase == 'f' ? ",\"bp\":\"e\"" : "");
    };
    write(event.flow.begins, 's');
    write(event.flow.passes, 't');
    write(event.flow.ends, 'f');
}

void JsonFormat::slice_begins(const Event& event) {
    open(event, 'B');
    write_name(event.name);
    write_arguments(event.arguments);
    out() += '}';
    write_flows(event);
}

void JsonFormat::slice_ends(const Event& event) {
    open(event, 'E');
    write_arguments(event.arguments);
    out() += '}';
}

void JsonFormat::instant(const Event& event) {
    // An arrow needs a slice at its ends.
    const bool arrow = event.flow.begins != 0 || event.flow.passes != 0 || event.flow.ends != 0;
    open(event, arrow ? 'X' : 'i');
    out() += arrow ? ",\"dur\":0" : ",\"s\":\"t\"";
    write_name(event.name);
    write_arguments(event.arguments);
    out() += '}';
    write_flows(event);
}

void JsonFormat::counter(const Event& event, std::uint64_t value) {
    open(event, 'C');
    write_name(event.name);
    fmt::format_to(std::back_inserter(out()), ",\"args\":{{\"bytes\":{}}}}}", value);
}

}  // namespace asyncvm::trace
