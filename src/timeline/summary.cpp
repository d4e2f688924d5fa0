#include "timeline/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace asyncvm::timeline {

namespace {

constexpr std::size_t most_lines = 10;
constexpr std::size_t most_happenings = 20;

struct Sum {
    std::string name;
    std::uint64_t time = 0;
    std::uint64_t count = 0;
    std::uint64_t longest = 0;
};

struct Wait {
    const Track* track = nullptr;
    Slice slice;
    Slice access;
};

/// Instants of one kind on one track.
struct Happening {
    const Track* track = nullptr;
    Instant first;
    std::uint64_t last = 0;
    std::uint64_t count = 0;
};

class Summary {
public:
    explicit Summary(const Trace& trace) : trace_(trace) {}

    std::string text() {
        add("{}: {}, {} events{}\n", trace_.process.empty() ? "a trace" : trace_.process,
            duration(trace_.end - trace_.begin), trace_.events, trace_.cut ? ", cut at its end" : "");
        if (trace_.lost > 0)
            add("{} events are missing: they could not be written as fast (see \"not recorded\")\n", trace_.lost);
        if (trace_.broken > 0) add("{} events or packets can't be understood\n", trace_.broken);
        cpus();
        gaps();
        happenings();
        std::vector<Sum> sums;
        for (const auto& [name, sum] : devices_) sums.push_back(sum);
        std::ranges::sort(sums, std::ranges::greater(), [](const Sum& sum) { return std::pair(sum.time, sum.count); });
        table("accesses by time", sums);
        std::ranges::sort(sums, std::ranges::greater(), [](const Sum& sum) { return std::pair(sum.count, sum.time); });
        table("accesses by number", sums);
        waits();
        return std::move(out_);
    }

private:
    template <typename... Arguments>
    void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Arguments>(arguments)...);
    }

    void cpus() {
        std::vector<const Track*> found;
        for (const Track& track : trace_.tracks) {
            if (is_cpu(track)) found.push_back(&track);
        }
        if (found.empty()) return;
        // Not as they have begun.
        std::ranges::sort(found, {}, &Track::uuid);
        add("\n{:<12}{:>10}{:>10}{:>10}{:>10}{:>14}\n", "", "in guest", "in device", "waiting", "exits", "not recorded");
        for (const Track* const track : found) cpu(*track);
    }

    void cpu(const Track& track) {
        std::uint64_t guest = 0;
        std::uint64_t device = 0;
        std::uint64_t waiting = 0;
        std::uint64_t lost = 0;
        std::uint64_t exits = 0;
        std::vector<Slice> inner;
        for (const Slice& slice : track.slices) {
            const auto time = slice.end - slice.begin;
            const auto& name = trace_.names[slice.name];
            if (slice.depth > 0) {
                waiting += time;
                inner.push_back(slice);
            } else if (name == "guest") {
                guest += time;
                ++exits;
            } else if (name == "not recorded") {
                lost += time;
            } else {
                device += time;
                Sum& sum = devices_[slice.name];
                sum.name = name;
                sum.time += time;
                sum.longest = std::max(sum.longest, time);
                ++sum.count;
                for (const Slice& wait : inner) keep({&track, wait, slice});
            }
            if (slice.depth == 0) inner.clear();
        }
        const auto span = trace_.end - trace_.begin;
        const auto share = [span](std::uint64_t time) {
            return fmt::format("{:.1f} %", span == 0 ? 0.0 : 100.0 * static_cast<double>(time) / static_cast<double>(span));
        };
        add("{:<12}{:>10}{:>10}{:>10}{:>10}{:>14}\n", track.name, share(guest), share(device - std::min(device, waiting)),
            share(waiting), exits, share(lost));
    }

    void gaps() {
        if (trace_.gaps.empty()) return;
        auto all = trace_.gaps;
        std::ranges::sort(all, std::ranges::greater(), &Gap::events);
        add("\n{:<32}{:>12}{:>12}{:>12}  {}\n", "not recorded", "events", "at", "for", "where");
        for (std::size_t i = 0; i < std::min(all.size(), most_lines); ++i) {
            add("{:<32}{:>12}{:>12}{:>12}  {}\n", "", all[i].events, duration(all[i].begin - trace_.begin),
                duration(all[i].end - all[i].begin), trace_.tracks[all[i].track].name);
        }
        more(all.size(), most_lines);
    }

    void happenings() {
        std::map<std::tuple<const Track*, Name, Name>, Happening> kinds;
        for (const Track& track : trace_.tracks) {
            if (!is_calm(track)) continue;
            for (const Instant& instant : track.instants) {
                if (trace_.names[instant.name] == "not recorded") continue;  // has a table of its own
                Happening& kind = kinds[{&track, instant.name, instant.details}];
                if (kind.count++ == 0) kind = {.track = &track, .first = instant, .last = 0, .count = 1};
                kind.last = instant.time;
            }
        }
        if (kinds.empty()) return;
        std::vector<Happening> all;
        for (const auto& [key, kind] : kinds) all.push_back(kind);
        std::ranges::sort(all, {}, [](const Happening& kind) {
            return std::tuple(kind.first.time, kind.track, kind.first.name, kind.first.details);
        });
        add("\n{:<32}{:>12}{:>12}{:>12}  {}\n", "what happened", "number", "first", "last", "what");
        for (std::size_t i = 0; i < std::min(all.size(), most_happenings); ++i) {
            const Happening& kind = all[i];
            add("{:<32}{:>12}{:>12}{:>12}  {}\n", kind.track->name, kind.count, duration(kind.first.time - trace_.begin),
                duration(kind.last - trace_.begin), text_of(trace_, kind.first));
        }
        more(all.size(), most_happenings);
    }

    void more(std::size_t all, std::size_t shown) {
        if (all > shown) add("and {} more\n", all - shown);
    }

    void table(std::string_view title, const std::vector<Sum>& sums) {
        if (sums.empty()) return;
        add("\n{:<32}{:>12}{:>12}{:>12}{:>12}\n", title, "number", "time", "mean", "longest");
        for (std::size_t i = 0; i < std::min(sums.size(), most_lines); ++i) {
            const Sum& sum = sums[i];
            add("{:<32}{:>12}{:>12}{:>12}{:>12}\n", sum.name, sum.count, duration(sum.time), duration(sum.time / sum.count),
                duration(sum.longest));
        }
    }

    void keep(const Wait& wait) {
        const auto length = [](const Wait& of) { return of.slice.end - of.slice.begin; };
        const auto at = std::ranges::upper_bound(waits_, length(wait), std::ranges::greater(), length);
        waits_.insert(at, wait);
        if (waits_.size() > most_lines) waits_.pop_back();
    }

    void waits() {
        if (waits_.empty()) return;
        add("\n{:<32}{:>12}{:>12}  {}\n", "longest waits", "at", "for", "where");
        for (const Wait& wait : waits_) {
            add("{:<32}{:>12}{:>12}  {}{}\n", trace_.names[wait.access.name], duration(wait.slice.begin - trace_.begin),
                duration(wait.slice.end - wait.slice.begin), wait.track->name,
                wait.access.has_place ? fmt::format(", {} {:#x}", wait.access.memory ? "address" : "port", wait.access.place)
                                      : "");
        }
    }

    const Trace& trace_;
    std::string out_;
    std::map<Name, Sum> devices_;
    std::vector<Wait> waits_;
};

}  // namespace

std::string duration(std::uint64_t nanoseconds) {
    const auto value = static_cast<double>(nanoseconds);
    if (nanoseconds < 1000) return fmt::format("{} ns", nanoseconds);
    if (nanoseconds < 1'000'000) return fmt::format("{:.2f} us", value / 1e3);
    if (nanoseconds < 1'000'000'000) return fmt::format("{:.2f} ms", value / 1e6);
    return fmt::format("{:.3f} s", value / 1e9);
}

std::string summary(const Trace& trace) { return Summary(trace).text(); }

}  // namespace asyncvm::timeline
