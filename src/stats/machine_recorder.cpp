#include "stats/machine_recorder.hpp"

#include <sys/resource.h>

#include <array>
#include <string_view>
#include <utility>

namespace asyncvm::stats {

namespace {

using namespace std::string_view_literals;

// In the order of the variant Exit.
constexpr std::array exit_kinds{"port"sv,        "memory"sv, "halted"sv,       "shut-down"sv,
                                "interrupted"sv, "debug"sv,  "system-event"sv, "failure"sv};
static_assert(exit_kinds.size() == std::variant_size_v<Exit>);

/// How often the calling thread has gone to sleep since it was made: what the kernel counts as voluntary context switches.
std::uint64_t sleeps_of_this_thread() noexcept {
    rusage usage{};
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? static_cast<std::uint64_t>(usage.ru_nvcsw) : 0;
}

TimesTaken times(const Distribution& distribution) noexcept {
    const auto duration = [](std::uint64_t n) { return std::chrono::nanoseconds(n); };
    return {distribution.count(), duration(distribution.total()), duration(distribution.percentile(50)),
            duration(distribution.percentile(99))};
}

}  // namespace

MachineRecorder::MachineRecorder(Places places, unsigned cpus, Clock::time_point now)
    : places_(std::move(places)), posted_(places_.size()), start_(now), slept_before_(sleeps_of_this_thread()) {
    for (unsigned index = 0; index < cpus; ++index) cpus_.push_back(std::make_unique<CpuRecorder>(places_));
}

void MachineRecorder::exited(unsigned cpu, const Exit& exit, std::uint64_t /*rip*/) noexcept {
    cpus_[cpu]->exited(exit, Clock::now());
}

void MachineRecorder::posted(const Transaction& writes) noexcept {
    posted_[places_.find(writes.space, writes.address)].fetch_add(writes.data.size() / writes.size,
                                                                  std::memory_order_relaxed);
}

void MachineRecorder::finish(Clock::time_point now) noexcept {
    end_ = now;
    slept_ = sleeps_of_this_thread() - slept_before_;
}

Statistics MachineRecorder::snapshot(Clock::time_point now) const {
    Statistics statistics;
    statistics.elapsed = end_.value_or(now) - start_;
    statistics.loop_wake_ups = end_ ? slept_ : sleeps_of_this_thread() - slept_before_;
    for (std::size_t kind = 0; kind < exit_kinds.size(); ++kind) {
        ExitCount& exits = statistics.exits.emplace_back(ExitCount{exit_kinds[kind], 0});
        for (const auto& cpu : cpus_) exits.count += cpu->exits(kind);
    }
    for (std::size_t index = 0; index < places_.size(); ++index) {
        PlaceStatistics& place = statistics.places.emplace_back();
        place.space = places_[index].space;
        place.range = places_[index].range();
        place.device = places_[index].device;
        place.posted = posted_[index].load(std::memory_order_relaxed);
        Distribution guest;
        Distribution device;
        Distribution waiting;
        for (const auto& cpu : cpus_) {
            const auto& row = cpu->row(index);
            place.reads += row.reads.get();
            place.writes += row.writes.get();
            place.bytes += row.bytes.get();
            guest.add(row.guest);
            device.add(row.device);
            waiting.add(row.waiting);
        }
        place.in_guest = times(guest);
        place.in_device = times(device);
        place.waiting = times(waiting);
    }
    for (const auto& cpu : cpus_) statistics.cpus.push_back(cpu->summary(now));
    return statistics;
}

}  // namespace asyncvm::stats
