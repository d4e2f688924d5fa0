#include "timeline/trace_builder.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace asyncvm::timeline {

namespace {

constexpr std::size_t most_tracks = 4096;
constexpr std::size_t most_names = 1 << 20;
constexpr std::size_t deepest = 64;
constexpr std::uint64_t latest = std::uint64_t{1} << 62;  // nanoseconds: 146 years

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
    if (event.kind == Kind::slice_begins && event.name && open.size() < deepest) {
        open.push_back({.begin = time,
                        .place = event.place,
                        .name = *event.name,
                        .depth = static_cast<std::uint16_t>(open.size()),
                        .memory = event.memory,
                        .has_place = event.has_place});
    } else if (event.kind == Kind::slice_ends && !open.empty()) {
        close(uuid, time);
    } else if (event.kind == Kind::instant && event.name) {
        of->instants.push_back({time, *event.name});
    } else if (event.kind == Kind::point) {
        of->points.push_back({time, event.value});
    } else {
        return is_broken();
    }
    trace_.lost += event.lost;
    ++trace_.events;
    trace_.begin = std::min(trace_.begin, time);
    trace_.end = std::max(trace_.end, time);
}

Trace TraceBuilder::finish(bool cut) {
    trace_.cut = cut;
    for (auto& [uuid, open] : open_) {
        while (!open.empty()) close(uuid, trace_.end);
    }
    if (trace_.events == 0) trace_.begin = trace_.end;
    return std::move(trace_);
}

void TraceBuilder::close(std::uint64_t uuid, std::uint64_t time) {
    auto& open = open_[uuid];
    open.back().end = std::max(open.back().begin, time);
    track(uuid)->slices.push_back(open.back());
    open.pop_back();
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

void take_argument(TraceBuilder::Event& event, std::string_view name, std::uint64_t value) noexcept {
    if (name == "port" || name == "address") {
        event.place = value;
        event.memory = name == "address";
        event.has_place = true;
    }
    if (name == "lost records") event.lost = value;
}

bool is_cpu(const Track& track) noexcept { return track.name.starts_with("vCPU "); }

}  // namespace asyncvm::timeline
