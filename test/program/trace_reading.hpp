/// A trace in Chrome's format, read and checked: what no trace may have, whatever the guest does.
#pragma once

#include <boost/test/unit_test.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "harness.hpp"

namespace program_test {

class ReadTrace {
public:
    struct Slice {
        std::string name;
        double begin = 0;  ///< microseconds
        double end = 0;
        nlohmann::json arguments;
        std::size_t depth = 0;
    };
    struct Track {
        std::vector<Slice> slices;
        std::vector<nlohmann::json> others;  ///< instants and counters
    };

    /// A file without its closing bracket is one that was cut.
    explicit ReadTrace(const std::string& path) {
        auto text = read_file(path);
        cut = !text.ends_with("\n]\n");
        if (cut) text = text.substr(0, text.rfind("}") + 1) + "]";
        for (const auto& event : nlohmann::json::parse(text)) take(event);
        for (const auto& [track, open] : open_) BOOST_TEST((cut || open.empty()), "a slice of " << track << " has no end");
        for (const auto id : flow_ends_) BOOST_TEST(flows_.contains(id), "flow " << id << " ends and has not begun");
    }

    [[nodiscard]] const Track& track(const std::string& name) const {
        const auto found = tracks.find(name);
        BOOST_REQUIRE_MESSAGE(found != tracks.end(), "no track " << name);
        return found->second;
    }
    [[nodiscard]] std::vector<Slice> slices(const std::string& track_name, const std::string& name) const {
        std::vector<Slice> all;
        std::ranges::copy_if(track(track_name).slices, std::back_inserter(all),
                             [&](const Slice& slice) { return slice.name == name; });
        return all;
    }
    [[nodiscard]] std::ptrdiff_t instants(const std::string& track_name, const std::string& name) const {
        return std::ranges::count_if(track(track_name).others,
                                     [&](const nlohmann::json& event) { return event["name"] == name; });
    }

    std::map<std::string, Track> tracks;
    std::size_t arrows = 0;  ///< that have both ends
    bool cut = false;

private:
    void take(const nlohmann::json& event) {
        const auto phase = event.at("ph").get<std::string>();
        const auto tid = event.at("tid").get<int>();
        if (phase == "M") {
            if (event["name"] == "thread_name") names_[tid] = event["args"]["name"];
            return;
        }
        // A counter's own name is its track's.
        const auto name = phase == "C" ? event["name"].get<std::string>() : names_.at(tid);
        Track& track = tracks[name];
        const auto time = event.at("ts").get<double>();
        BOOST_TEST(last_[tid] <= time, "time goes back on " << name);
        last_[tid] = time;
        auto& open = open_[name];
        const auto arguments = event.contains("args") ? event["args"] : nlohmann::json::object();
        if (phase == "B") {
            open.push_back(track.slices.size());
            track.slices.push_back({event["name"], time, time, arguments, open.size()});
        } else if (phase == "E") {
            BOOST_REQUIRE_MESSAGE(!open.empty(), "a slice of " << name << " ends that has not begun");
            track.slices[open.back()].end = time;
            track.slices[open.back()].arguments.update(arguments);
            open.pop_back();
        } else if (phase == "s" || phase == "t") {
            flows_.insert(event["id"].get<int>());
        } else if (phase == "f") {
            flow_ends_.insert(event["id"].get<int>());
            ++arrows;
        } else {
            track.others.push_back(event);
        }
    }

    std::map<int, std::string> names_;
    std::map<int, double> last_;
    std::map<std::string, std::vector<std::size_t>> open_;
    std::set<int> flows_;
    std::set<int> flow_ends_;
};

}  // namespace program_test
