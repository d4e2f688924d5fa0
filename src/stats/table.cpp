#include <asyncvm/statistics.hpp>
#include "stats/state_name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>

namespace asyncvm {

namespace {

/// Columns as wide as their widest cell, two blanks apart; the first `left` are aligned to the left, the others to the
/// right.
class Table {
public:
    Table(std::size_t left, std::vector<std::string> titles) : left_(left) { rows_.push_back(std::move(titles)); }

    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    [[nodiscard]] bool empty() const noexcept { return rows_.size() == 1; }

    void append_to(std::string& text) const {
        std::vector<std::size_t> widths(rows_.front().size());
        for (const auto& row : rows_) {
            for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
        }
        for (const auto& row : rows_) {
            std::string line;
            for (std::size_t i = 0; i < row.size(); ++i) {
                const char* const gap = i == 0 ? "" : "  ";
                line += i < left_ ? fmt::format("{}{:<{}}", gap, row[i], widths[i])
                                  : fmt::format("{}{:>{}}", gap, row[i], widths[i]);
            }
            line.erase(line.find_last_not_of(' ') + 1);
            text += line + '\n';
        }
        text += '\n';
    }

private:
    std::size_t left_;
    std::vector<std::vector<std::string>> rows_;
};

std::string number(std::uint64_t n) { return fmt::format("{}", n); }

/// Three digits, and a unit: 812ns, 8.81us, 66.7ms, 4.56s, 1234s.
std::string time(std::chrono::nanoseconds duration) {
    const auto n = static_cast<double>(duration.count());
    if (duration.count() < 1000) return fmt::format("{}ns", duration.count());
    const char* unit = "us";
    double value = n / 1e3;
    // 999.6 would be shown as 1000.
    if (value >= 999.5) value /= 1e3, unit = "ms";
    if (value >= 999.5) value /= 1e3, unit = "s";
    return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, unit);
}

std::string place_name(const PlaceStatistics& place) {
    const char* const space = place.space == Space::port ? "port" : "mem";
    if (place.device.empty()) return fmt::format("{}:other", space);
    if (place.range.size == 0) return fmt::format("{}:nowhere", space);
    if (place.range.size == 1) return fmt::format("{}:{:#x}", space, place.range.first);
    return fmt::format("{}:{:#x}-{:#x}", space, place.range.first, place.range.first + (place.range.size - 1));
}

std::string device_name(const PlaceStatistics& place) { return place.device.empty() ? "none" : place.device; }

bool used(const PlaceStatistics& place) { return place.reads + place.writes + place.posted != 0; }

void add_times(std::vector<std::string>& cells, const TimesTaken& times) {
    for (const auto duration : {times.total, times.p50, times.p99}) {
        cells.push_back(times.count == 0 ? "-" : time(duration));
    }
}

void append_exits(std::string& text, const Statistics& statistics) {
    Table table(1, {"exit", "count", "per-second"});
    const double seconds = std::chrono::duration<double>(statistics.elapsed).count();
    std::uint64_t all = 0;
    const auto add = [&table, seconds](std::string_view kind, std::uint64_t count) {
        const double rate = seconds > 0 ? static_cast<double>(count) / seconds : 0;
        table.add({std::string(kind), number(count), fmt::format("{:.0f}", rate)});
    };
    for (const auto& exits : statistics.exits) {
        all += exits.count;
        if (exits.count != 0) add(exits.kind, exits.count);
    }
    add("all", all);
    table.append_to(text);
}

void append_places(std::string& text, const Statistics& statistics) {
    Table accesses(2, {"place", "device", "reads", "writes", "bytes", "posted"});
    Table times(1, {"place", "in-guest", "p50", "p99", "in-device", "p50", "p99", "waits", "waiting", "p50", "p99"});
    std::string idle;
    for (const auto& place : statistics.places) {
        if (!used(place)) {
            if (!place.device.empty()) idle += fmt::format(" {}={}", place.device, place_name(place));
            continue;
        }
        accesses.add({place_name(place), device_name(place), number(place.reads), number(place.writes), number(place.bytes),
                      number(place.posted)});
        std::vector<std::string> cells{place_name(place)};
        add_times(cells, place.in_guest);
        add_times(cells, place.in_device);
        cells.push_back(number(place.waiting.count));
        add_times(cells, place.waiting);
        times.add(std::move(cells));
    }
    if (!accesses.empty()) {
        accesses.append_to(text);
        times.append_to(text);
    }
    if (!idle.empty()) text += fmt::format("never-accessed{}\n\n", idle);
}

void append_unclaimed(std::string& text, const Statistics& statistics) {
    Table table(1, {"no-device", "reads", "writes"});
    for (const auto& [space, at] : statistics.unclaimed) {
        table.add({fmt::format("{}:{:#x}", space == Space::port ? "port" : "mem", at.address), number(at.reads),
                   number(at.writes)});
    }
    if (!table.empty()) table.append_to(text);
}

void append_cpus(std::string& text, const Statistics& statistics) {
    Table table(4, {"cpu", "state", "since", "place", "in-guest", "in-device", "waiting", "wake-ups"});
    for (std::size_t index = 0; index < statistics.cpus.size(); ++index) {
        const auto& cpu = statistics.cpus[index];
        const bool runs = cpu.state != CpuStatistics::State::not_started && cpu.state != CpuStatistics::State::ended;
        table.add({fmt::format("vcpu{}", index), std::string(state_name(cpu.state)), runs ? time(cpu.since) : "-",
                   cpu.place ? place_name(statistics.places.at(*cpu.place)) : "-", time(cpu.in_guest), time(cpu.in_device),
                   time(cpu.waiting), number(cpu.wake_ups)});
    }
    table.add({"loop", "-", "-", "-", "-", "-", "-", number(statistics.loop_wake_ups)});
    table.append_to(text);
}

}  // namespace

std::string_view state_name(CpuStatistics::State state) noexcept {
    switch (state) {
        case CpuStatistics::State::not_started:
            return "not-started";
        case CpuStatistics::State::in_guest:
            return "in-guest";
        case CpuStatistics::State::in_device:
            return "in-device";
        case CpuStatistics::State::waiting:
            return "waiting";
        case CpuStatistics::State::stopped:
            return "stopped";
        case CpuStatistics::State::ended:
            break;
    }
    return "ended";
}

std::string format_statistics(const Statistics& statistics, std::span<const StreamStatistics> streams) {
    std::string text = fmt::format("statistics of {}\n\n", time(statistics.elapsed));
    append_exits(text, statistics);
    append_places(text, statistics);
    append_unclaimed(text, statistics);
    append_cpus(text, statistics);
    Table table(2, {"stream", "where", "to-guest", "from-guest"});
    for (const auto& stream : streams) {
        table.add({stream.name, stream.description, number(stream.traffic.to_guest), number(stream.traffic.from_guest)});
    }
    if (!table.empty()) table.append_to(text);
    text.pop_back();
    return text;
}

}  // namespace asyncvm
