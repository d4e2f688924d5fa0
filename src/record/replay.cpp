#include "record/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace asyncvm::record {

namespace {

bool same(const Event& a, const Event& b) noexcept {
    return a.kind == b.kind && a.space == b.space && a.address == b.address && a.size == b.size && a.value == b.value;
}

std::chrono::nanoseconds since_to(const Event& event, std::chrono::nanoseconds since) noexcept {
    return std::max(event.at - since, std::chrono::nanoseconds(0));
}

}  // namespace

Replay::Replay(Recording recording) : recording_(std::move(recording)), rung_(recording_.header.doorbells.size()) {}

const Event* Replay::next() const noexcept {
    return place_ < recording_.events.size() ? &recording_.events[place_] : nullptr;
}

/// Over everything that the guest does not do, up to what it does next. `since`: when what led to it was.
void Replay::advance(Step& step, std::chrono::nanoseconds since) {
    for (; const Event* const event = next(); ++place_) {
        if (event->is_interrupt()) {
            step.interrupts.push_back({since_to(*event, since), *event});
        } else if (!event->is_answer()) {
            return;
        }
    }
}

/// What is next has come, and with it the doorbells that have been rung before.
void Replay::take(Step& step) {
    const auto since = recording_.events[place_].at;
    ++place_;
    advance(step, since);
    take_rings(step);
}

/// To the access at place_. A doorbell may be heard before it.
void Replay::answer(Step& step) const {
    const auto& events = recording_.events;
    const auto access = events.begin() + static_cast<std::ptrdiff_t>(place_);
    const auto found = std::find_if(access + 1, events.end(), [](const Event& event) {
        return event.is_answer() || event.is_access() || event.kind == Event::Kind::reset;
    });
    if (found == events.end() || !found->is_answer()) return;
    step.delay = since_to(*found, access->at);
    if (found->kind == Event::Kind::done) step.answer = found->value;
}

/// The interrupts on the way come now, so that the lines have the levels that they had.
void Replay::skip_to(std::size_t place, Step& step) {
    for (; place_ < place; ++place_) {
        if (const Event& event = recording_.events[place_]; event.is_interrupt()) step.interrupts.push_back({{}, event});
    }
}

void Replay::take_rings(Step& step) {
    while (const Event* const event = next()) {
        if (event->kind != Event::Kind::ring || !rung_[event->number]) return;
        rung_[event->number] = false;
        ++place_;
        advance(step, event->at);
    }
}

std::optional<std::size_t> Replay::doorbell_of(const Event& access) const noexcept {
    if (access.kind != Event::Kind::write) return std::nullopt;
    const auto& header = recording_.header;
    for (const auto& [space, range] : header.places) {
        if (space != access.space || access.address - range.first >= range.size) continue;
        for (std::size_t index = 0; index < header.doorbells.size(); ++index) {
            const Doorbell& doorbell = header.doorbells[index];
            if (doorbell.offset == access.address - range.first && doorbell.size == access.size &&
                doorbell.data.value_or(access.value) == access.value) {
                return index;
            }
        }
    }
    return std::nullopt;
}

Replay::Difference Replay::difference(std::string found) const {
    const Event* const event = next();
    return {.line = event != nullptr ? event->line : recording_.lines,
            .expected = event != nullptr ? describe(*event) : "nothing more",
            .found = std::move(found),
            .then = {}};
}

Replay::Step Replay::start() {
    Step step;
    advance(step, {});
    return step;
}

Replay::Step Replay::access(const Access& access, bool write) {
    const Event found = event_of(access, write);
    Step step;
    step.answer = all_ones(access.size);
    if (const auto doorbell = doorbell_of(found)) {
        // Once for however many: so it was recorded.
        rung_[*doorbell] = true;
        take_rings(step);
        return step;
    }
    take_rings(step);
    if (const Event* const event = next(); event != nullptr && same(*event, found)) {
        answer(step);
        take(step);
        return step;
    }
    step.difference = difference(describe(found));
    const auto& events = recording_.events;
    const auto from = events.begin() + static_cast<std::ptrdiff_t>(place_);
    const auto to = from + static_cast<std::ptrdiff_t>(std::min(far, events.size() - place_));
    const auto later = std::find_if(from, to, [&found](const Event& event) { return same(event, found); });
    if (later == to) {
        step.difference->then = write ? "the write is ignored" : "it reads all-ones";
        return step;
    }
    step.difference->then = fmt::format("it goes on at line {}", later->line);
    skip_to(static_cast<std::size_t>(later - events.begin()), step);
    answer(step);
    take(step);
    return step;
}

Replay::Step Replay::reset() {
    Step step;
    std::fill(rung_.begin(), rung_.end(), false);
    const auto& events = recording_.events;
    const auto from = events.begin() + static_cast<std::ptrdiff_t>(place_);
    const auto found = std::ranges::find(from, events.end(), Event::Kind::reset, &Event::kind);
    if (found != from || found == events.end()) step.difference = difference("reset");
    if (found == events.end()) {
        step.difference->then = "the recording starts again";
        place_ = 0;
        advance(step, {});
        return step;
    }
    if (step.difference) step.difference->then = fmt::format("it goes on at line {}", found->line);
    skip_to(static_cast<std::size_t>(found - events.begin()), step);
    take(step);
    return step;
}

}  // namespace asyncvm::record
