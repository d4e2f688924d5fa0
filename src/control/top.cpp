#include "control/top.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm::control {

namespace {

constexpr double second = 1e9;  // nanoseconds

std::int64_t number(const Json& object, std::string_view name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number() ? found->get<std::int64_t>() : 0;
}

std::string word(const Json& object, std::string_view name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Element `index` of the list `name`; null if there is none.
const Json& at(const Json& object, std::string_view name, std::size_t index) {
    static const Json none;
    if (!object.is_object()) return none;
    const auto list = object.find(name);
    return list != object.end() && list->is_array() && index < list->size() ? (*list)[index] : none;
}

/// How much a number has grown.
std::int64_t grown(const Json& before, const Json& now, std::string_view name) {
    return number(now, name) - (before.is_object() ? number(before, name) : 0);
}

std::int64_t grown_total(const Json& before, const Json& now, std::string_view name) {
    static const Json none = Json::object();
    const auto times = [&](const Json& place) -> const Json& {
        return place.is_object() && place.contains(name) ? place[std::string(name)] : none;
    };
    return grown(times(before), times(now), "total-ns");
}

/// The sum, and what it will grow by when the present state ends: an idle guest can stay in KVM_RUN for seconds. A vCPU that
/// waits is in the device as well.
std::int64_t spent(const Json& cpu, std::string_view sum, std::initializer_list<std::string_view> states) {
    if (!cpu.is_object()) return 0;
    const bool goes_on = std::ranges::find(states, word(cpu, "state")) != states.end();
    return number(cpu, sum) + (goes_on ? number(cpu, "since-ns") : 0);
}

struct Line {
    std::int64_t exits;
    std::string text;
};

std::string where(const Json& place) {
    const auto first = number(place, "address");
    const auto size = number(place, "size");
    const auto device = word(place, "device");
    if (device.empty()) return fmt::format("{} without a device", word(place, "space"));
    return size == 1 ? fmt::format("{} {:#x}", device, first)
                     : fmt::format("{} {:#x}-{:#x}", device, first, first + size - 1);
}

Line line_of(const Json& before, const Json& now, double seconds) {
    const auto exits = grown(before, now, "reads") + grown(before, now, "writes");
    const auto posted = grown(before, now, "posted");
    const auto bytes = grown(before, now, "bytes");
    return {exits + posted,
            fmt::format("{:<32} {:>8.0f} {:>8.0f} {:>10.0f} {:>7.1f}% {:>6.1f}%\n", where(now),
                        static_cast<double>(exits) / seconds, static_cast<double>(posted) / seconds,
                        static_cast<double>(bytes) / seconds,
                        100.0 * static_cast<double>(grown_total(before, now, "in-device")) / second / seconds,
                        100.0 * static_cast<double>(grown_total(before, now, "waiting")) / second / seconds)};
}

}  // namespace

std::string top_table(const Json& before, const Json& now, std::size_t most) {
    const double seconds = std::max(1e-3, static_cast<double>(grown(before, now, "elapsed-ns")) / second);
    std::string text = fmt::format("{:<32} {:>10} {:>10} {:>10}\n", "vCPU", "in guest", "in device", "waiting");
    for (std::size_t cpu = 0; const auto& one : now.value("cpus", Json::array())) {
        const auto& old = at(before, "cpus", cpu);
        const auto share = [&](std::string_view sum, std::initializer_list<std::string_view> states) {
            const auto time = static_cast<double>(spent(one, sum, states) - spent(old, sum, states));
            // Sums and states are not read at one moment.
            return std::clamp(100.0 * time / second / seconds, 0.0, 100.0);
        };
        const auto name = fmt::format("vcpu{} {}", cpu++, word(one, "state"));
        text += fmt::format("{:<32} {:>9.1f}% {:>9.1f}% {:>9.1f}%\n", name, share("in-guest-ns", {"in-guest"}),
                            share("in-device-ns", {"in-device", "waiting"}), share("waiting-ns", {"waiting"}));
    }
    std::vector<Line> lines;
    for (std::size_t place = 0; const auto& one : now.value("places", Json::array())) {
        auto line = line_of(at(before, "places", place++), one, seconds);
        if (line.exits > 0) lines.push_back(std::move(line));
    }
    std::ranges::sort(lines, std::ranges::greater(), &Line::exits);
    text += fmt::format("{:<32} {:>8} {:>8} {:>10} {:>8} {:>7}\n", "device", "exits/s", "posted/s", "bytes/s", "time", "waiting");
    for (const auto& line : std::span(lines).first(std::min(most, lines.size()))) text += line.text;
    return text;
}

std::string fitted(std::string_view text, std::size_t rows, std::size_t columns) {
    std::string result;
    for (std::size_t row = 1; row < rows && !text.empty(); ++row) {
        const auto end = std::min(text.find('\n'), text.size() - 1);
        result += fmt::format("{}\n", text.substr(0, std::min(end, columns)));
        text.remove_prefix(end + 1);
    }
    return result;
}

}  // namespace asyncvm::control
