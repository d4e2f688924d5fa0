#include "stats/cpu_recorder.hpp"

#include <algorithm>

namespace asyncvm::stats {

namespace {

std::uint64_t nanoseconds(Clock::duration duration) noexcept {
    return static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count()));
}

const Transaction* transaction_of(const Exit& exit) noexcept {
    if (const auto* const port = std::get_if<PortAccess>(&exit)) return port;
    return std::get_if<MmioAccess>(&exit);
}

}  // namespace

void CpuRecorder::change(CpuStatistics::State state, Clock::time_point now) noexcept {
    since_.set(nanoseconds(now.time_since_epoch()));
    state_.set(static_cast<std::uint64_t>(state));
}

void CpuRecorder::answer(Clock::time_point now) noexcept {
    const auto place = place_.load(std::memory_order_relaxed);
    if (place == no_place) return;
    const auto device = nanoseconds(now - exited_);
    rows_[place].device.add(device);
    device_.add(device);
    if (suspended_) {
        const auto waiting = nanoseconds(now - suspended_at_);
        rows_[place].waiting.add(waiting);
        waiting_.add(waiting);
        suspended_ = false;
    }
    place_.store(no_place, std::memory_order_relaxed);
}

void CpuRecorder::entering(Clock::time_point now) noexcept {
    answer(now);
    entered_ = now;
    change(CpuStatistics::State::in_guest, now);
}

void CpuRecorder::exited(const Exit& exit, Clock::time_point now) noexcept {
    exited_ = now;
    const auto guest = nanoseconds(now - entered_);
    guest_.add(guest);
    exits_[exit.index()].add();
    if (const auto* const transaction = transaction_of(exit)) {
        const auto place = places_.find(transaction->space, transaction->address);
        Row& row = rows_[place];
        (transaction->direction == Direction::read ? row.reads : row.writes).add();
        row.bytes.add(transaction->data.size());
        row.guest.add(guest);
        place_.store(place, std::memory_order_relaxed);
        change(CpuStatistics::State::in_device, now);
    } else {
        change(CpuStatistics::State::stopped, now);
    }
}

void CpuRecorder::suspended(Clock::time_point now) noexcept {
    if (suspended_) return;
    suspended_ = true;
    suspended_at_ = now;
    change(CpuStatistics::State::waiting, now);
}

void CpuRecorder::ended(Clock::time_point now) noexcept {
    answer(now);
    change(CpuStatistics::State::ended, now);
}

CpuStatistics CpuRecorder::summary(Clock::time_point now) const noexcept {
    using State = CpuStatistics::State;
    CpuStatistics summary;
    summary.state = static_cast<State>(state_.get());
    const auto began = since_.get();
    const auto time = nanoseconds(now.time_since_epoch());
    const bool runs = summary.state != State::not_started && summary.state != State::ended;
    if (runs && time > began) summary.since = std::chrono::nanoseconds(time - began);
    const auto place = place_.load(std::memory_order_relaxed);
    if (place != no_place && (summary.state == State::in_device || summary.state == State::waiting)) summary.place = place;
    summary.in_guest = std::chrono::nanoseconds(guest_.get());
    summary.in_device = std::chrono::nanoseconds(device_.get());
    summary.waiting = std::chrono::nanoseconds(waiting_.get());
    summary.wake_ups = wake_ups_.get();
    return summary;
}

}  // namespace asyncvm::stats
