#include "metrics/exposition.hpp"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

namespace asyncvm::metrics {

namespace {

struct Label {
    std::string_view name;
    std::string value;
};

std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '\n') {
            safe += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') safe += '\\';
        safe += c;
    }
    return safe;
}

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

std::string_view name_of(Space space) { return space == Space::port ? "port" : "memory"; }

std::string where(const PlaceStatistics& place) {
    if (place.device.empty()) return "other";
    const auto first = place.range.first;
    return place.range.size == 1 ? fmt::format("{:#x}", first)
                                 : fmt::format("{:#x}-{:#x}", first, first + place.range.size - 1);
}

/// Writes families one after the other: each begins with its declaration, its samples follow.
class Page {
public:
    explicit Page(Format format) : format_(format) {}

    /// `name`: without "_total".
    void counter(std::string_view name, std::string_view help) {
        sample_ = fmt::format("asyncvm_{}_total", name);
        declare(format_ == Format::classic ? sample_ : fmt::format("asyncvm_{}", name), "counter", help);
    }
    void gauge(std::string_view name, std::string_view help) {
        sample_ = fmt::format("asyncvm_{}", name);
        declare(sample_, "gauge", help);
    }

    template <typename Number>
    void sample(std::initializer_list<Label> labels, Number value) {
        text_ += sample_;
        const char* before = "{";
        for (const auto& label : labels)
            text_ += fmt::format("{}{}=\"{}\"", std::exchange(before, ","), label.name, escaped(label.value));
        text_ += fmt::format("{}{}\n", labels.size() == 0 ? " " : "} ", value);
    }

    [[nodiscard]] std::string finish() {
        if (format_ == Format::open_metrics) text_ += "# EOF\n";
        return std::move(text_);
    }

private:
    void declare(std::string_view family, std::string_view type, std::string_view help) {
        text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", family, help, type);
    }

    Format format_;
    std::string sample_;
    std::string text_;
};

/// What the guest has put nowhere yet it has not accessed either; two of them would be one series.
bool is_somewhere(const PlaceStatistics& place) { return place.device.empty() || place.range.size != 0; }

void add_places(Page& page, const Statistics& statistics) {
    const auto each = [&](std::string_view name, std::string_view help, auto value) {
        page.counter(name, help);
        for (const auto& place : statistics.places) {
            if (!is_somewhere(place)) continue;
            page.sample({{"space", std::string(name_of(place.space))}, {"address", where(place)}, {"device", place.device}},
                        value(place));
        }
    };
    page.counter("accesses", "Exits of the guest for an access, by the place that it began at.");
    for (const auto& place : statistics.places) {
        if (!is_somewhere(place)) continue;
        for (const auto& [direction, count] : {std::pair("read", place.reads), std::pair("write", place.writes)}) {
            page.sample({{"space", std::string(name_of(place.space))},
                         {"address", where(place)},
                         {"device", place.device},
                         {"direction", direction}},
                        count);
        }
    }
    each("access_bytes", "Bytes read and written by these accesses.", [](const auto& place) { return place.bytes; });
    each("posted_writes", "Writes that were collected and delivered without an exit of their own.",
         [](const auto& place) { return place.posted; });
    each("device_seconds", "Time from the exit to the answer, waiting included.",
         [](const auto& place) { return seconds(place.in_device.total); });
    each("device_waiting_seconds", "Time in which an access waited for something.",
         [](const auto& place) { return seconds(place.waiting.total); });
}

void add_cpus(Page& page, const Statistics& statistics) {
    page.counter("vcpu_seconds", "Where a vCPU has spent its time.");
    for (unsigned index = 0; const auto& cpu : statistics.cpus) {
        const auto name = fmt::format("{}", index++);
        page.sample({{"vcpu", name}, {"in", "guest"}}, seconds(cpu.in_guest));
        page.sample({{"vcpu", name}, {"in", "device"}}, seconds(cpu.in_device));
        page.sample({{"vcpu", name}, {"in", "waiting"}}, seconds(cpu.waiting));
    }
    page.counter("vcpu_wakeups", "How often a vCPU's thread went on with an access that had waited.");
    for (unsigned index = 0; const auto& cpu : statistics.cpus)
        page.sample({{"vcpu", fmt::format("{}", index++)}}, cpu.wake_ups);
}

void add_streams(Page& page, std::span<const Stream> streams) {
    page.counter("stream_bytes", "Bytes that a device has taken from a stream, or given to it.");
    for (const auto& [statistics, connected] : streams) {
        page.sample({{"stream", statistics.name}, {"direction", "to_guest"}}, statistics.traffic.to_guest);
        page.sample({{"stream", statistics.name}, {"direction", "from_guest"}}, statistics.traffic.from_guest);
    }
    page.gauge("stream_connected", "Whether there is somebody at the other end.");
    for (const auto& [statistics, connected] : streams) page.sample({{"stream", statistics.name}}, connected ? 1 : 0);
}

}  // namespace

std::string_view content_type(Format format) noexcept {
    return format == Format::classic ? "text/plain; version=0.0.4; charset=utf-8"
                                     : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

std::string exposition(const Statistics& statistics, std::span<const Stream> streams, Format format) {
    Page page(format);
    page.gauge("build_info", "The program that runs the guest.");
    page.sample({{"version", ASYNCVM_VERSION}}, 1);
    page.gauge("run_seconds", "How long the guest has run.");
    page.sample({}, seconds(statistics.elapsed));
    page.counter("exits", "Exits of the guest, by kind.");
    for (const auto& [kind, count] : statistics.exits) page.sample({{"kind", std::string(kind)}}, count);
    add_places(page, statistics);
    page.counter("unclaimed_accesses", "Accesses that found no device, for the first addresses where that happened.");
    for (const auto& [space, at] : statistics.unclaimed) {
        for (const auto& [direction, count] : {std::pair("read", at.reads), std::pair("write", at.writes)}) {
            page.sample({{"space", std::string(name_of(space))},
                         {"address", fmt::format("{:#x}", at.address)},
                         {"direction", direction}},
                        count);
        }
    }
    add_cpus(page, statistics);
    page.counter("loop_wakeups", "How often the device loop's thread has slept and gone on.");
    page.sample({}, statistics.loop_wake_ups);
    add_streams(page, streams);
    return page.finish();
}

}  // namespace asyncvm::metrics
