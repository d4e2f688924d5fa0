/// A Format that keeps what it is told as lines, and complains about what no trace may have.
#pragma once

#include <boost/test/unit_test.hpp>

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "trace/events.hpp"

namespace asyncvm::trace::test {

class CheckedFormat final : public Format {
public:
    CheckedFormat() : Format(nothing_) {}

    void begin(const Clocks&, int, std::string_view) override {}
    void declare(Track track, Track parent, std::string_view name, TrackKind) override {
        BOOST_TEST(declared_.insert(track).second, name << " is declared twice");
        BOOST_TEST((parent == tracks::process || declared_.contains(parent)));
        lines.push_back(fmt::format("track {:#x}: {}", track, name));
    }
    void slice_begins(const Event& event) override {
        check(event);
        ++depth[event.track];
        lines.push_back(fmt::format("{}: {:#x} begins {}{}", event.time, event.track, event.name, details(event)));
    }
    void slice_ends(const Event& event) override {
        check(event);
        BOOST_TEST(depth[event.track] > 0, "a slice ends that has not begun");
        --depth[event.track];
        lines.push_back(fmt::format("{}: {:#x} ends{}", event.time, event.track, details(event)));
    }
    void instant(const Event& event) override {
        check(event);
        lines.push_back(fmt::format("{}: {:#x} {}{}", event.time, event.track, event.name, details(event)));
    }
    void counter(const Event& event, std::uint64_t value) override {
        check(event);
        lines.push_back(fmt::format("{}: {:#x} {} = {}", event.time, event.track, event.name, value));
    }
    void gap(unsigned source) override { lines.push_back(fmt::format("gap of {}", source)); }
    void end() override {}

    std::vector<std::string> lines;
    std::map<Track, int> depth;

private:
    void check(const Event& event) {
        BOOST_TEST(declared_.contains(event.track), "event on a track that nobody has introduced");
        BOOST_TEST(last_[event.source] <= event.time, "time goes back");
        last_[event.source] = event.time;
    }
    static std::string details(const Event& event) {
        std::string text;
        for (const Argument& argument : event.arguments) {
            text += argument.text.empty() ? fmt::format(" {}={}", argument.name, argument.value)
                                          : fmt::format(" {}=\"{}\"", argument.name, argument.text);
        }
        if (event.flow.begins != 0) text += fmt::format(" flow {} begins", event.flow.begins);
        if (event.flow.passes != 0) text += fmt::format(" flow {} passes", event.flow.passes);
        if (event.flow.ends != 0) text += fmt::format(" flow {} ends", event.flow.ends);
        return text;
    }

    std::string nothing_;
    std::set<Track> declared_;
    std::map<unsigned, std::uint64_t> last_;
};

}  // namespace asyncvm::trace::test
