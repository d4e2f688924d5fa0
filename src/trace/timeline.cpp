#include "trace/timeline.hpp"

#include <asyncvm/exit.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <variant>

namespace asyncvm::trace {

namespace {

constexpr std::array<std::string_view, std::variant_size_v<Exit>> exit_names{
    "port access", "MMIO access", "halted", "shut down", "interrupted", "debug", "system event", "failure"};
const auto kick = Exit(Interrupted{}).index();

/// What is known of an access when it begins.
class AccessArguments {
public:
    explicit AccessArguments(const Record& record) {
        add({record.memory ? "address" : "port", record.address, true});
        add({"size", record.size});
        if (record.count > 1) add({"count", record.count});
        if (record.write) add({"value", record.value, true});
    }
    [[nodiscard]] std::span<const Argument> all() const noexcept { return std::span(all_).first(size_); }

private:
    void add(const Argument& argument) { all_[size_++] = argument; }
    std::array<Argument, 4> all_{};
    std::size_t size_ = 0;
};

}  // namespace

unsigned Timeline::add_source(unsigned cpu) {
    sources_.push_back({.cpu = cpu});
    return static_cast<unsigned>(sources_.size() - 1);
}

Track Timeline::known(Track track, std::string_view name, Track parent, Format::TrackKind kind) {
    if (declared_.insert(track).second) format_.declare(track, parent, name, kind);
    return track;
}

Track Timeline::cpu_track(unsigned source) {
    const unsigned cpu = sources_[source].cpu;
    const Track track = tracks::first_cpu + cpu;
    return declared_.contains(track) ? track : known(track, fmt::format("vCPU {}", cpu));
}

void Timeline::take(unsigned source, std::span<const Record> records) {
    for (const Record& record : records) {
        take(source, record);
        sources_[source].last = std::max(sources_[source].last, record.time);
    }
}

void Timeline::take(unsigned source, const Record& given) {
    Record record = given;
    record.time = std::max(record.time, sources_[source].last);
    if (record.kind == Kind::lost) return lost(source, record);
    if (record.kind <= Kind::ended) {
        if (sources_[source].cpu != no_cpu) of_cpu(source, record);
    } else if (record.kind == Kind::interrupt || record.kind == Kind::message) {
        interrupt(source, record);
    } else if (record.kind == Kind::posted) {
        posted(source, record);
    } else if (record.kind >= Kind::client_came && record.kind <= Kind::input) {
        of_chardev(source, record);
    } else if (record.kind == Kind::disk_changed || record.kind == Kind::disk_resized) {
        of_disk(source, record);
    } else if (record.kind == Kind::debugger_stopped || record.kind == Kind::debugger_goes_on) {
        of_debugger(source, record);
    } else {
        of_machine(source, record);
    }
}

void Timeline::of_cpu(unsigned source, const Record& record) {
    const Track track = cpu_track(source);
    const Event event{.source = source, .time = record.time, .track = track};
    Place& place = sources_[source].place;
    switch (record.kind) {
        case Kind::entered: {
            const Argument read{"value", record.value, true};
            leave(source, record.time, Place::nowhere, std::span(&read, record.answered ? 1 : 0));
            Event guest = event;
            guest.name = "guest";
            guest.flow.ends = record.address;
            format_.slice_begins(guest);
            place = Place::guest;
            break;
        }
        case Kind::exited_for:
            leave(source, record.time, Place::nowhere);
            access_begins(source, record);
            place = Place::device;
            break;
        case Kind::exited: {
            leave(source, record.time, Place::nowhere);
            // A kick is the monitor's own doing.
            if (record.subject >= exit_names.size() || record.subject == kick) break;
            Event why = event;
            why.name = exit_names[record.subject];
            format_.instant(why);
            break;
        }
        case Kind::suspended:
            if (place == Place::device) {
                Event waiting = event;
                waiting.name = "waiting";
                format_.slice_begins(waiting);
                place = Place::waiting;
            }
            break;
        case Kind::resumed:
            leave(source, record.time, Place::device);
            break;
        default:
            leave(source, record.time, Place::nowhere);
            break;
    }
}

void Timeline::access_begins(unsigned source, const Record& record) {
    const AccessArguments arguments(record);
    format_.slice_begins({.source = source,
                          .time = record.time,
                          .track = cpu_track(source),
                          .name = access_name(record),
                          .arguments = arguments.all()});
}

std::string_view Timeline::access_name(const Record& record) {
    std::string& name = access_names_[record.subject * 2U + (record.write ? 1 : 0)];
    if (name.empty()) {
        name = fmt::format("{} {}", record.subject == 0 ? "no device" : names_.name(record.subject),
                           record.write ? "write" : "read");
    }
    return name;
}

/// Ends the slices of a vCPU that lie deeper than `until`. `arguments` are what is known of an access at its end.
void Timeline::leave(unsigned source, std::uint64_t time, Place until, std::span<const Argument> arguments) {
    Place& place = sources_[source].place;
    const Event end{.source = source, .time = time, .track = cpu_track(source)};
    if (place == Place::waiting && until < Place::waiting) {
        format_.slice_ends(end);
        place = Place::device;
    }
    if (until >= Place::device || place <= until) return;
    Event last = end;
    if (place == Place::device) last.arguments = arguments;
    format_.slice_ends(last);
    place = Place::nowhere;
}

void Timeline::lost(unsigned source, const Record& record) {
    const bool of_cpu = sources_[source].cpu != no_cpu;
    const auto since = sources_[source].last == 0 ? record.time : sources_[source].last;
    if (of_cpu) leave(source, since, Place::nowhere);
    format_.gap(source);
    const Argument count{"records", record.value};
    const Event gap{.source = source,
                    .time = of_cpu ? since : record.time,
                    .track = of_cpu ? cpu_track(source) : known(tracks::machine, "machine"),
                    .name = "not recorded",
                    .arguments = std::span(&count, 1)};
    if (!of_cpu) return format_.instant(gap);
    format_.slice_begins(gap);
    format_.slice_ends({.source = source, .time = record.time, .track = gap.track});
}

void Timeline::interrupt(unsigned source, const Record& record) {
    const bool message = record.kind == Kind::message;
    const auto name = message ? fmt::format("MSI vector {}", record.count & 0xff)
                              : fmt::format("IRQ {} {}", record.address, record.write ? "raised" : "lowered");
    const Argument details[]{{"address", record.address, true}, {"data", record.count, true}};
    Event event{.source = source,
                .time = record.time,
                .track = known(tracks::interrupts, "interrupts"),
                .name = name,
                .arguments = std::span(details).first(message ? std::size(details) : 0)};
    // The arrow begins where the device is at work, if that is on a vCPU.
    if (sources_[source].place >= Place::device) {
        Event at_work = event;
        at_work.track = cpu_track(source);
        at_work.flow.begins = record.value;
        format_.instant(at_work);
        event.flow.passes = record.value;
    } else {
        event.flow.begins = record.value;
    }
    format_.instant(event);
}

void Timeline::posted(unsigned source, const Record& record) {
    const auto device = record.subject == 0 ? std::string("no device") : names_.name(record.subject);
    const AccessArguments arguments(record);
    format_.instant({.source = source,
                     .time = record.time,
                     .track = known(tracks::posted_writes, "posted writes"),
                     .name = device,
                     .arguments = arguments.all()});
}

void Timeline::begin_alone(unsigned source, std::uint64_t time, Track track, std::string_view name) {
    if (open_.insert(track).second) format_.slice_begins({.source = source, .time = time, .track = track, .name = name});
}

void Timeline::end_alone(unsigned source, std::uint64_t time, Track track) {
    if (open_.erase(track) != 0) format_.slice_ends({.source = source, .time = time, .track = track});
}

void Timeline::of_machine(unsigned source, const Record& record) {
    const auto on_loop = [&] {
        const Track loop = known(tracks::device_loop, "device loop");
        return known(tracks::first_loop_device + record.subject, names_.name(record.subject), loop);
    };
    const auto instant = [&](Track track, std::string_view name, std::span<const Argument> arguments = {}) {
        format_.instant({.source = source, .time = record.time, .track = track, .name = name, .arguments = arguments});
    };
    switch (record.kind) {
        case Kind::paused:
            begin_alone(source, record.time, known(tracks::machine, "machine"), "paused");
            break;
        case Kind::unpaused:
            end_alone(source, record.time, known(tracks::machine, "machine"));
            break;
        case Kind::reset:
            instant(known(tracks::machine, "machine"), "reset");
            break;
        case Kind::run_begins:
            instant(known(tracks::machine, "machine"), "run begins");
            break;
        case Kind::run_ended:
            end_alone(source, record.time, known(tracks::machine, "machine"));
            instant(tracks::machine, "run ended");
            break;
        case Kind::loop_begins:
            begin_alone(source, record.time, on_loop(), "access");
            break;
        case Kind::loop_ends:
            end_alone(source, record.time, on_loop());
            break;
        case Kind::rung: {
            const Argument times{"times", record.value};
            instant(on_loop(), "doorbell", std::span(&times, 1));
            break;
        }
        case Kind::told: {
            const auto device = names_.name(record.subject);
            const Argument by{.name = "device", .text = device};
            instant(known(tracks::machine, "machine"), names_.name(record.count), std::span(&by, 1));
            break;
        }
        default:
            break;
    }
}

void Timeline::of_chardev(unsigned source, const Record& record) {
    const auto name = names_.name(record.subject);
    const Track track = known(tracks::first_chardev + 4U * record.subject, name);
    const Event event{.source = source, .time = record.time, .track = track};
    const auto counter = [&](Track offset, std::string_view what) {
        const auto full_name = fmt::format("{} {}", name, what);
        Event count = event;
        count.name = full_name;
        count.track = known(track + offset, full_name, track, Format::TrackKind::bytes);
        format_.counter(count, record.value);
    };
    switch (record.kind) {
        case Kind::output:
            counter(1, "output");
            break;
        case Kind::input:
            counter(2, "input");
            break;
        case Kind::full:
            begin_alone(source, record.time, track, "full");
            break;
        case Kind::has_room:
            end_alone(source, record.time, track);
            break;
        case Kind::elsewhere: {
            const auto place = names_.name(record.count);
            const Argument to{.name = "to", .text = place};
            Event change = event;
            change.name = "goes elsewhere";
            change.arguments = std::span(&to, 1);
            format_.instant(change);
            break;
        }
        default: {
            Event client = event;
            client.name = record.kind == Kind::client_came ? "client came" : "client left";
            format_.instant(client);
            break;
        }
    }
}

void Timeline::of_disk(unsigned source, const Record& record) {
    const bool exchanged = record.kind == Kind::disk_changed;
    const auto image = names_.name(record.count);
    const Argument details[]{{"bytes", record.value}, {.name = "image", .text = image}};
    format_.instant({.source = source,
                     .time = record.time,
                     .track = known(tracks::first_disk + record.subject, names_.name(record.subject)),
                     .name = exchanged ? "another image" : "resized",
                     .arguments = std::span(details).first(exchanged ? 2 : 1)});
}

/// That the machine stands has a slice already.
void Timeline::of_debugger(unsigned source, const Record& record) {
    Event event{.source = source, .time = record.time, .track = known(tracks::machine, "machine")};
    const auto why = names_.name(record.subject);
    const Argument details[]{
        {.name = "reason", .text = why}, {"vCPU", record.count - std::uint64_t{1}}, {"address", record.address, true}};
    if (record.kind == Kind::debugger_stopped) {
        event.name = "stopped by the debugger";
        event.arguments = std::span(details).first(record.count == 0 ? 1 : record.address == 0 ? 2 : 3);
    } else {
        event.name = "released by the debugger";
    }
    format_.instant(event);
}

void Timeline::finish(std::uint64_t time, std::uint64_t lost) {
    for (unsigned source = 0; source < sources_.size(); ++source) {
        if (sources_[source].cpu != no_cpu) leave(source, std::max(time, sources_[source].last), Place::nowhere);
    }
    if (sources_.empty()) add_source(no_cpu);
    const auto at = std::max(time, sources_[0].last);
    while (!open_.empty()) end_alone(0, at, *open_.begin());
    const Argument records{"lost records", lost};
    format_.instant({.source = 0,
                     .time = at,
                     .track = known(tracks::machine, "machine"),
                     .name = "trace ends",
                     .arguments = std::span(&records, 1)});
}

}  // namespace asyncvm::trace
