#include "timeline/trace_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace asyncvm::timeline {

namespace {

constexpr std::size_t most_tracks = 4096;
constexpr std::size_t most_names = 1 << 20;
constexpr std::size_t deepest = 64;
constexpr std::uint64_t latest = std::uint64_t{1} << 62;  // nanoseconds: 146 years

template <typename Value>
void add_detail(std::string& details, std::string_view name, const Value& value) {
    details += fmt::format("{}{} {}", details.empty() ? "" : ", ", name, value);
}

}  // namespace

TraceBuilder::TraceBuilder() { trace_.begin = std::numeric_limits<std::uint64_t>::max(); }

void TraceBuilder::set_process(std::string_view name) {
    if (trace_.process.empty()) trace_.process = name;
}

void TraceBuilder::describe(std::uint64_t uuid, std::string_view name, bool counter) {
    if (Track* const known = track(uuid)) {
        known->name = name;
        known->counter = counter;
    }
}

Name TraceBuilder::name(std::string_view text) {
    const auto found = names_.find(std::string(text));
    if (found != names_.end()) return found->second;
    if (trace_.names.size() >= most_names) return 0;
    trace_.names.emplace_back(text);
    const auto name = static_cast<Name>(trace_.names.size() - 1);
    names_.emplace(text, name);
    return name;
}

void TraceBuilder::add(const Event& event, std::uint64_t uuid, std::uint64_t time) {
    Track* const of = track(uuid);
    if (of == nullptr || time > latest) return is_broken();
    auto& open = open_[uuid];
    const bool is_gap = event.name && trace_.names[*event.name] == "not recorded";
    const auto missing = is_gap ? event.missing : 0;
    if (event.kind == Kind::slice_begins && event.name && open.size() < deepest) {
        open.push_back({.begin = time,
                        .place = event.place,
                        .missing = missing,
                        .name = *event.name,
                        .depth = static_cast<std::uint16_t>(open.size()),
                        .memory = event.memory,
                        .has_place = event.has_place});
    } else if (event.kind == Kind::slice_ends && !open.empty()) {
        close(uuid, time);
    } else if (event.kind == Kind::instant && event.name) {
        of->instants.push_back({time, *event.name, event.details.empty() ? no_name : name(event.details)});
        if (missing != 0) add_gap(*of, time, time, missing);
    } else if (event.kind == Kind::point) {
        of->points.push_back({time, event.value});
    } else {
        return is_broken();
    }
    told_lost_ += event.lost;
    ++trace_.events;
    trace_.begin = std::min(trace_.begin, time);
    trace_.end = std::max(trace_.end, time);
}

Trace TraceBuilder::finish(bool cut) {
    trace_.cut = cut;
    for (auto& [uuid, open] : open_) {
        while (!open.empty()) close(uuid, trace_.end);
    }
    std::uint64_t in_gaps = 0;
    for (const Gap& gap : trace_.gaps) in_gaps += gap.events;
    trace_.lost = std::max(told_lost_, in_gaps);
    if (trace_.events == 0) trace_.begin = trace_.end;
    return std::move(trace_);
}

void TraceBuilder::close(std::uint64_t uuid, std::uint64_t time) {
    auto& open = open_[uuid];
    Slice& slice = open.back();
    slice.end = std::max(slice.begin, time);
    Track& of = *track(uuid);
    if (slice.missing != 0) add_gap(of, slice.begin, slice.end, slice.missing);
    of.slices.push_back(slice);
    open.pop_back();
}

void TraceBuilder::add_gap(const Track& of, std::uint64_t begin, std::uint64_t end, std::uint64_t events) {
    trace_.gaps.push_back({static_cast<std::size_t>(&of - trace_.tracks.data()), begin, end, events});
}

Track* TraceBuilder::track(std::uint64_t uuid) {
    const auto found = tracks_.find(uuid);
    if (found != tracks_.end()) return &trace_.tracks[found->second];
    if (trace_.tracks.size() >= most_tracks) return nullptr;
    tracks_.emplace(uuid, trace_.tracks.size());
    Track& track = trace_.tracks.emplace_back();
    track.uuid = uuid;
    return &track;
}

void take_argument(TraceBuilder::Event& event, std::string_view name, std::uint64_t value) {
    if (name == "port" || name == "address") {
        event.place = value;
        event.memory = name == "address";
        event.has_place = true;
    }
    if (name == "lost records") event.lost = value;
    if (name == "records") event.missing = value;
    if (name == "bytes" || name == "vCPU") add_detail(event.details, name, value);
}

void take_argument(TraceBuilder::Event& event, std::string_view name, std::string_view text) {
    if (name == "device" || name == "image" || name == "reason" || name == "to") add_detail(event.details, name, text);
}

bool is_cpu(const Track& track) noexcept { return track.name.starts_with("vCPU "); }

bool is_calm(const Track& track) noexcept {
    return !is_cpu(track) && track.name != "interrupts" && track.name != "posted writes";
}

std::string text_of(const Trace& trace, const Instant& instant) {
    const auto& name = trace.names[instant.name];
    return instant.details == no_name ? name : fmt::format("{}: {}", name, trace.names[instant.details]);
}

}  // namespace asyncvm::timeline
