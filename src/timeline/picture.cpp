#include "timeline/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "timeline/summary.hpp"

namespace asyncvm::timeline {

namespace {

constexpr int left = 150;
constexpr int columns = 900;  ///< of the plot; each is a pixel, and what is shorter shares one
constexpr int right = 30;
constexpr int top = 64;
constexpr int row_height = 26;
constexpr int bar_height = 18;
constexpr int small = 10;  ///< a font
constexpr std::size_t most_rows = 64;
constexpr std::size_t longest_label = 60;

constexpr std::string_view guest_colour = "#8fc7a1";
constexpr std::string_view waiting_colour = "#f2d17c";
constexpr std::string_view lost_colour = "#c9c9c9";
constexpr std::array<std::string_view, 8> colours{"#4e79a7", "#e15759", "#b07aa1", "#76b7b2",
                                                  "#ff9da7", "#9c755f", "#59619c", "#d37295"};

/// Text as XML takes it.
std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '<') {
            result += "&lt;";
        } else if (c == '>') {
            result += "&gt;";
        } else if (c == '&') {
            result += "&amp;";
        } else if (c == '"') {
            result += "&quot;";
        } else {
            result += c < ' ' || c > '~' ? '?' : c;
        }
    }
    return result;
}

/// Of text in the small font, at least.
int width_of(std::string_view text) { return 6 * static_cast<int>(text.size()); }

class Picture {
public:
    Picture(const Trace& trace, const Part& part)
        : trace_(trace),
          from_(std::min(trace.begin + part.from, trace.end)),
          to_(std::max(part.to ? std::min(trace.begin + std::min(*part.to, trace.end - trace.begin), trace.end) : trace.end,
                       from_ + 1)) {}

    std::string draw() {
        choose_colours();
        std::vector<const Track*> rows;
        for (const Track& track : trace_.tracks) {
            if (!track.slices.empty() || !track.instants.empty() || !track.points.empty()) rows.push_back(&track);
        }
        std::ranges::sort(rows, {}, [](const Track* track) { return std::pair(!is_cpu(*track), track->uuid); });
        if (rows.size() > most_rows) rows.resize(most_rows);
        const int bottom = top + row_height * static_cast<int>(rows.size());
        const int height = bottom + 56 + 20 * static_cast<int>((legend_.size() + 3) / 4);
        add("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
            left + columns + right, height);
        add("<text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n<text x=\"12\" y=\"40\" "
            "fill=\"#666666\">{} from {} on{}</text>\n",
            escaped(trace_.process.empty() ? "a trace" : trace_.process), duration(to_ - from_),
            duration(from_ - trace_.begin),
            trace_.lost == 0 ? "" : fmt::format(" ({} events of the trace are missing)", trace_.lost));
        axis(bottom);
        int y = top;
        for (const Track* const track : rows) {
            row(*track, y);
            y += row_height;
        }
        legend(bottom + 48);
        out_ += "</svg>\n";
        return std::move(out_);
    }

private:
    template <typename... Arguments>
    void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Arguments>(arguments)...);
    }

    [[nodiscard]] double column(std::uint64_t time) const {
        return static_cast<double>(columns) * static_cast<double>(std::clamp(time, from_, to_) - from_) /
               static_cast<double>(to_ - from_);
    }

    /// The names that take most of the time get the colours.
    void choose_colours() {
        std::map<Name, std::uint64_t> times;
        for (const Track& track : trace_.tracks) {
            for (const Slice& slice : track.slices) {
                if (slice.end >= from_ && slice.begin <= to_ && fixed_colour(slice.name).empty())
                    times[slice.name] += std::min(slice.end, to_) - std::max(slice.begin, from_) + 1;
            }
        }
        std::vector<std::pair<std::uint64_t, Name>> order;
        for (const auto& [name, time] : times) order.emplace_back(time, name);
        std::ranges::sort(order, std::ranges::greater());
        // Where there are more names than colours, the rest shares the last one.
        const auto own = order.size() <= colours.size() ? order.size() : colours.size() - 1;
        for (const auto& [time, name] : order) {
            const auto index = std::min(colours_.size(), own);
            colours_[name] = colours[index];
            if (index < own) legend_.emplace_back(trace_.names[name], colours_[name]);
        }
        if (own < order.size()) legend_.emplace_back(fmt::format("{} others", order.size() - own), colours.back());
    }

    [[nodiscard]] std::string_view fixed_colour(Name name) const {
        const auto& text = trace_.names[name];
        if (text == "guest") return guest_colour;
        if (text == "waiting") return waiting_colour;
        if (text == "not recorded") return lost_colour;
        return {};
    }
    [[nodiscard]] std::string_view colour(Name name) const {
        const auto fixed = fixed_colour(name);
        if (!fixed.empty()) return fixed;
        const auto found = colours_.find(name);
        return found == colours_.end() ? colours.back() : found->second;
    }

    void axis(int bottom) {
        std::uint64_t step = 1;
        for (const std::uint64_t span = to_ - from_; span / step > 10;) {
            // 1, 2, 5, 10, ...
            std::uint64_t leading = step;
            while (leading >= 10) leading /= 10;
            step = leading == 2 ? step / 2 * 5 : step * 2;
        }
        const auto since = from_ - trace_.begin;
        const auto until = to_ - trace_.begin;
        for (auto at = (since + step - 1) / step * step; at <= until; at += step) {
            const double x = left + column(trace_.begin + at);
            add("<path d=\"M{0:.1f} {1}V{2}\" stroke=\"#dddddd\"/><text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\" "
                "fill=\"#666666\">{4}</text>\n",
                x, top - 6, bottom, bottom + 16, duration(at));
        }
    }

    void row(const Track& track, int y) {
        add("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", left - 10, y + 15, escaped(track.name.substr(0, 20)));
        if (track.counter) return counter(track, y);
        bars(track, y, 0);
        bars(track, y, 1);
        gaps(track, y);
        ticks(track, y);
    }

    /// How many events are missing, where there is room to say it.
    void gaps(const Track& track, int y) {
        for (const Gap& gap : trace_.gaps) {
            if (&trace_.tracks[gap.track] != &track || gap.end < from_ || gap.begin > to_) continue;
            const double begin = column(gap.begin);
            const auto text = fmt::format("{} events", gap.events);
            if (column(gap.end) - begin >= width_of(text)) label(left + static_cast<int>(begin) + 4, y, text);
        }
    }

    void label(int x, int y, std::string_view text) {
        add("<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"#333333\">{}</text>\n", x, y + 15, small, escaped(text));
    }

    /// In each column the name that fills most of it.
    void bars(const Track& track, int y, unsigned depth) {
        std::vector<std::pair<double, Name>> cells(columns, {0.0, 0});
        for (const Slice& slice : track.slices) {
            if (std::min<unsigned>(slice.depth, 1) != depth || slice.end < from_ || slice.begin > to_) continue;
            const double begin = column(slice.begin);
            const double end = std::max(column(slice.end), begin + 1e-3);
            for (int i = static_cast<int>(begin); i < columns && i < end; ++i) {
                const double share = std::min(end, i + 1.0) - std::max(begin, static_cast<double>(i));
                auto& cell = cells[static_cast<std::size_t>(i)];
                // What is short must not vanish beside the guest.
                const double weight = fixed_colour(slice.name) == guest_colour ? share : 3 * share;
                if (weight > cell.first) cell = {weight, slice.name};
            }
        }
        const int high = depth == 0 ? bar_height : bar_height / 2;
        for (int i = 0; i < columns;) {
            const auto& cell = cells[static_cast<std::size_t>(i)];
            int past = i + 1;
            while (past < columns && (cells[static_cast<std::size_t>(past)].first > 0) == (cell.first > 0) &&
                   colour_of(cells[static_cast<std::size_t>(past)]) == colour_of(cell))
                ++past;
            if (cell.first > 0) {
                add("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n", left + i,
                    y + 2 + bar_height - high, past - i, high, colour_of(cell));
            }
            i = past;
        }
    }
    [[nodiscard]] std::string_view colour_of(const std::pair<double, Name>& cell) const {
        return cell.first > 0 ? colour(cell.second) : std::string_view();
    }

    void ticks(const Track& track, int y) {
        std::vector<const Instant*> cells(columns + 1);
        for (const Instant& instant : track.instants) {
            if (instant.time >= from_ && instant.time <= to_)
                cells[static_cast<std::size_t>(column(instant.time))] = &instant;
        }
        std::string path;
        for (int i = 0; i <= columns; ++i) {
            if (cells[static_cast<std::size_t>(i)] != nullptr)
                fmt::format_to(std::back_inserter(path), "M{} {}v6l-3-6h6l-3 6", left + i, y);
        }
        if (!path.empty()) add("<path d=\"{}\" fill=\"#333333\" stroke=\"#333333\" stroke-width=\"0.7\"/>\n", path);
        if (is_calm(track)) name_ticks(cells, y);
    }

    /// What a tick is, where there is room for that before the next one.
    void name_ticks(const std::vector<const Instant*>& cells, int y) {
        int next = columns + right;
        for (int i = columns; i >= 0; --i) {
            const Instant* const instant = cells[static_cast<std::size_t>(i)];
            if (instant == nullptr) continue;
            for (const auto& text : {text_of(trace_, *instant), trace_.names[instant->name]}) {
                if (text.size() > longest_label || i + 5 + width_of(text) > next) continue;
                label(left + i + 5, y, text);
                break;
            }
            next = i;
        }
    }

    void counter(const Track& track, int y) {
        std::uint64_t highest = 1;
        for (const Point& point : track.points) highest = std::max(highest, point.value);
        std::vector<std::int64_t> cells(columns + 1, -1);
        double before = 0;
        for (const Point& point : track.points) {
            const double share = static_cast<double>(point.value) / static_cast<double>(highest);
            if (point.time < from_) before = share;
            if (point.time >= from_ && point.time <= to_)
                cells[static_cast<std::size_t>(column(point.time))] = static_cast<std::int64_t>(share * bar_height * 10);
        }
        const int floor = y + 2 + bar_height;
        add("<path d=\"M{} {}V{:.1f}", left, floor, floor - before * bar_height);
        for (int i = 0; i <= columns; ++i) {
            const auto value = cells[static_cast<std::size_t>(i)];
            if (value >= 0 && (i == 0 || cells[static_cast<std::size_t>(i) - 1] != value))
                add("H{}V{:.1f}", left + i, floor - static_cast<double>(value) / 10);
        }
        add("H{}V{}Z\" fill=\"#cfe0f1\" stroke=\"#4e79a7\" stroke-width=\"0.7\"/>\n", left + columns, floor);
        add("<text x=\"{}\" y=\"{}\" fill=\"#666666\" font-size=\"10\">{} bytes</text>\n", left + 4, y + 12, highest);
    }

    void legend(int y) {
        std::vector<std::pair<std::string, std::string_view>> all{
            {"guest", guest_colour}, {"waiting", waiting_colour}, {"not recorded", lost_colour}};
        all.insert(all.end(), legend_.begin(), legend_.end());
        int place = 0;
        for (const auto& [name, fill] : all) {
            const int x = left + place % 4 * 225;
            const int at = y + place / 4 * 20;
            add("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>\n", x,
                at - 10, fill, x + 18, at, escaped(name.substr(0, 30)));
            ++place;
        }
    }

    const Trace& trace_;
    const std::uint64_t from_;
    const std::uint64_t to_;
    std::string out_;
    std::map<Name, std::string_view> colours_;
    std::vector<std::pair<std::string, std::string_view>> legend_;
};

}  // namespace

std::string picture(const Trace& trace, const Part& part) { return Picture(trace, part).draw(); }

}  // namespace asyncvm::timeline
