#define BOOST_TEST_MODULE timeline
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "timeline/picture.hpp"
#include "timeline/summary.hpp"
#include "timeline/trace.hpp"
#include "trace/json_format.hpp"
#include "trace/perfetto_format.hpp"

using namespace asyncvm::timeline;
using asyncvm::trace::Argument;
using asyncvm::trace::Format;
using asyncvm::trace::JsonFormat;
using asyncvm::trace::PerfettoFormat;
namespace tracks = asyncvm::trace::tracks;

namespace {

/// Ten milliseconds: a vCPU that is half of the time in the guest, and that waits for the device for two milliseconds.
template <typename F>
std::string short_trace_as() {
    std::string out;
    F format(out);
    format.begin({.boottime = 900'000, .monotonic = 1, .realtime = 2}, 7, "asyncvm a<b>.bin");
    format.declare(tracks::first_cpu, tracks::process, "vCPU 0", Format::TrackKind::slices);
    format.declare(tracks::first_chardev, tracks::process, "serial0", Format::TrackKind::slices);
    format.declare(tracks::first_chardev + 1, tracks::first_chardev, "serial0 output", Format::TrackKind::bytes);
    const auto at = [](std::uint64_t microseconds) { return 1'000'000 + microseconds * 1000; };
    const auto cpu = tracks::first_cpu;
    format.slice_begins({.source = 0, .time = at(0), .track = cpu, .name = "guest"});
    format.slice_ends({.source = 0, .time = at(5000), .track = cpu});
    const Argument port{"port", 0x3f8, true};
    format.slice_begins(
        {.source = 0, .time = at(5000), .track = cpu, .name = "uart16550 write", .arguments = std::span(&port, 1)});
    format.slice_begins({.source = 0, .time = at(6000), .track = cpu, .name = "waiting"});
    format.counter({.source = 1, .time = at(6500), .track = tracks::first_chardev + 1, .name = "serial0 output"}, 42);
    format.instant({.source = 1, .time = at(7000), .track = tracks::first_chardev, .name = "client came"});
    format.slice_ends({.source = 0, .time = at(8000), .track = cpu});
    format.slice_ends({.source = 0, .time = at(10'000), .track = cpu});
    const Argument to{.name = "to", .text = "tcp:1<2"};
    for (const auto time : {at(9000), at(9500)}) {
        format.instant({.source = 1,
                        .time = time,
                        .track = tracks::first_chardev,
                        .name = "goes elsewhere",
                        .arguments = std::span(&to, 1)});
    }
    format.gap(0);
    const Argument lost{"lost records", 5};
    format.instant({.source = 0, .time = at(10'000), .track = cpu, .name = "trace ends", .arguments = std::span(&lost, 1)});
    format.end();
    return out;
}
/// Ten milliseconds without the end, of which the vCPU's last eight, and something of another thread, are missing.
template <typename F>
std::string trace_with_gaps_as() {
    std::string out;
    F format(out);
    format.begin({.boottime = 1'000'000, .monotonic = 1, .realtime = 2}, 7, "asyncvm");
    format.declare(tracks::first_cpu, tracks::process, "vCPU 0", Format::TrackKind::slices);
    format.declare(tracks::machine, tracks::process, "machine", Format::TrackKind::slices);
    format.slice_begins({.source = 0, .time = 1'000'000, .track = tracks::first_cpu, .name = "guest"});
    format.slice_ends({.source = 0, .time = 3'000'000, .track = tracks::first_cpu});
    const Argument many{"records", 1000};
    const Argument few{"records", 7};
    format.slice_begins({.source = 0,
                         .time = 3'000'000,
                         .track = tracks::first_cpu,
                         .name = "not recorded",
                         .arguments = std::span(&many, 1)});
    format.instant({.source = 1,
                    .time = 4'000'000,
                    .track = tracks::machine,
                    .name = "not recorded",
                    .arguments = std::span(&few, 1)});
    format.slice_ends({.source = 0, .time = 11'000'000, .track = tracks::first_cpu});
    return out;
}
/// vCPU 1 begins before vCPU 0, and each of its accesses takes longer than the one before.
template <typename F>
std::string busy_trace_as(unsigned devices) {
    std::string out;
    F format(out);
    format.begin({.boottime = 1'000'000, .monotonic = 1, .realtime = 2}, 7, "asyncvm");
    constexpr auto second_cpu = tracks::first_cpu + 1;
    format.declare(second_cpu, tracks::process, "vCPU 1", Format::TrackKind::slices);
    std::uint64_t time = 1'000'000;
    for (unsigned i = 1; i <= devices; ++i) {
        const auto name = "device" + std::to_string(i) + " read";
        format.slice_begins({.source = 0, .time = time, .track = second_cpu, .name = name});
        time += i * 100'000;
        format.slice_ends({.source = 0, .time = time, .track = second_cpu});
    }
    format.declare(tracks::first_cpu, tracks::process, "vCPU 0", Format::TrackKind::slices);
    format.slice_begins({.source = 1, .time = time, .track = tracks::first_cpu, .name = "guest"});
    format.slice_ends({.source = 1, .time = time + 1000, .track = tracks::first_cpu});
    format.end();
    return out;
}
std::string short_trace() { return short_trace_as<PerfettoFormat>(); }
std::string short_chrome_trace() { return short_trace_as<JsonFormat>(); }

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(what_was_written_is_read) {
    const auto trace = read_perfetto(short_trace());
    BOOST_TEST(trace.process == "asyncvm a<b>.bin");
    BOOST_TEST(trace.begin == 1'000'000U);
    BOOST_TEST(trace.end == 11'000'000U);
    BOOST_TEST(trace.lost == 5U);
    BOOST_TEST(trace.broken == 0U);
    BOOST_TEST(!trace.cut);
    const auto cpu = std::ranges::find(trace.tracks, "vCPU 0", &Track::name);
    BOOST_REQUIRE(cpu != trace.tracks.end());
    BOOST_TEST(is_cpu(*cpu));
    BOOST_TEST_REQUIRE(cpu->slices.size() == 3U);
    BOOST_TEST(trace.names[cpu->slices[1].name] == "waiting");
    BOOST_TEST(cpu->slices[1].depth == 1U);
    BOOST_TEST(cpu->slices[2].place == 0x3f8U);
    BOOST_TEST(cpu->slices[2].end - cpu->slices[2].begin == 5'000'000U);
    const auto output = std::ranges::find(trace.tracks, "serial0 output", &Track::name);
    BOOST_REQUIRE(output != trace.tracks.end());
    BOOST_TEST(output->counter);
    BOOST_TEST_REQUIRE(output->points.size() == 1U);
    BOOST_TEST(output->points[0].time == 7'500'000U);
    BOOST_TEST(output->points[0].value == 42U);
}

BOOST_AUTO_TEST_CASE(the_summary_has_shares_devices_and_waits) {
    const auto text = summary(read_perfetto(short_trace()));
    BOOST_TEST(has(text, "asyncvm a<b>.bin: 10.00 ms, 11 events\n"), text);
    BOOST_TEST(has(text, "5 events are missing"), text);
    BOOST_TEST(has(text, "vCPU 0          50.0 %    30.0 %    20.0 %         1"), text);
    BOOST_TEST(has(text, "uart16550 write                            1     5.00 ms     5.00 ms     5.00 ms\n"), text);
    BOOST_TEST(has(text, "uart16550 write                      6.00 ms     2.00 ms  vCPU 0, port 0x3f8\n"), text);
}

BOOST_AUTO_TEST_CASE(vcpus_are_in_the_order_of_their_numbers) {
    for (const auto& trace : {read_perfetto(busy_trace_as<PerfettoFormat>(1)), read_chrome(busy_trace_as<JsonFormat>(1))}) {
        const auto text = summary(trace);
        BOOST_TEST(text.find("\nvCPU 0 ") < text.find("\nvCPU 1 "), text);
        BOOST_TEST(has(text, "\nvCPU 1 "), text);
    }
}

BOOST_AUTO_TEST_CASE(each_name_in_the_legend_has_a_colour_of_its_own) {
    const auto colours_in_legend = [](unsigned devices) {
        const auto svg = picture(read_perfetto(busy_trace_as<PerfettoFormat>(devices)), {});
        std::vector<std::string> colours;
        constexpr std::string_view box = "width=\"12\" height=\"12\" fill=\"";
        for (auto at = svg.find(box); at != svg.npos; at = svg.find(box, at + 1))
            colours.push_back(svg.substr(at + box.size(), 7));
        BOOST_TEST(std::set(colours.begin(), colours.end()).size() == colours.size(), svg);
        BOOST_TEST(has(svg, "others</text>") == (devices > 8), svg);
        BOOST_TEST(has(svg, ">device1 read</text>") == (devices <= 8), svg);
        return colours.size();
    };
    BOOST_TEST(colours_in_legend(8) == 11U);  // with the guest's, and those of waiting and of what is not recorded
    BOOST_TEST(colours_in_legend(9) == 11U);
    BOOST_TEST(colours_in_legend(20) == 11U);
    BOOST_TEST(has(picture(read_perfetto(busy_trace_as<PerfettoFormat>(20)), {}), ">13 others</text>"));
}

BOOST_AUTO_TEST_CASE(the_summary_has_what_happened_once_for_each_kind_with_its_values) {
    const auto text = summary(read_perfetto(short_trace()));
    BOOST_TEST(has(text,
                   "what happened                         number       first        last  what\n"
                   "serial0                                    1     7.00 ms     7.00 ms  client came\n"
                   "serial0                                    2     9.00 ms     9.50 ms  goes elsewhere: to tcp:1<2\n"),
               text);
    // What is on a vCPU's track is too much to be listed.
    BOOST_TEST(!has(text, "trace ends"), text);
}

BOOST_AUTO_TEST_CASE(the_summary_and_the_picture_say_how_many_events_are_missing_and_where_also_of_a_trace_that_was_cut) {
    for (const auto& trace :
         {read_perfetto(trace_with_gaps_as<PerfettoFormat>()), read_chrome(trace_with_gaps_as<JsonFormat>())}) {
        BOOST_TEST(trace.lost == 1007U);
        const auto text = summary(trace);
        BOOST_TEST(has(text, "1007 events are missing"), text);
        BOOST_TEST(has(text,
                       "not recorded                          events          at         for  where\n"
                       "                                        1000     2.00 ms     8.00 ms  vCPU 0\n"
                       "                                           7     3.00 ms        0 ns  machine\n"),
                   text);
        const auto drawn = picture(trace, {});
        BOOST_TEST(has(drawn, "(1007 events of the trace are missing)</text>"), drawn);
        // In the grey part of the vCPU's row.
        BOOST_TEST(has(drawn, "x=\"330\" y=\"66\" width=\"720\" height=\"18\" fill=\"#c9c9c9\""), drawn);
        BOOST_TEST(has(drawn, "<text x=\"334\" y=\"79\" font-size=\"10\" fill=\"#333333\">1000 events</text>"), drawn);
        const auto part = picture(trace, {.from = 0, .to = 1'000'000});
        BOOST_TEST(!has(part, ">1000 events</text>"), part);
    }
    // Events of other programs may have such words, too.
    const auto other = read_chrome(R"([{"ph": "i", "tid": 1, "ts": 1, "name": "sorted", "args": {"records": 9}}])");
    BOOST_TEST(other.lost == 0U);
    BOOST_TEST(other.gaps.empty());
}

BOOST_AUTO_TEST_CASE(a_list_has_an_end) {
    std::string out;
    JsonFormat format(out);
    format.begin({}, 7, "asyncvm");
    format.declare(tracks::machine, tracks::process, "machine", Format::TrackKind::slices);
    for (std::uint64_t i = 0; i < 25; ++i) {
        const std::string name = "kind " + std::to_string(i);
        format.instant({.source = 0, .time = i, .track = tracks::machine, .name = name});
        const Argument missing{"records", i + 1};
        format.instant(
            {.source = 0, .time = i, .track = tracks::machine, .name = "not recorded", .arguments = std::span(&missing, 1)});
    }
    const auto text = summary(read_chrome(out));
    BOOST_TEST(has(text, "and 5 more\n"), text);
    BOOST_TEST(has(text, "and 15 more\n"), text);
    // The greatest.
    BOOST_TEST(has(text, "          16       15 ns        0 ns  machine\nand 15"), text);
}

BOOST_AUTO_TEST_CASE(a_trace_without_its_end_is_one_up_to_there) {
    const auto whole = short_trace();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto trace = read_perfetto(whole.substr(0, size));
        BOOST_TEST(trace.broken == 0U);
        static_cast<void>(summary(trace));
    }
    BOOST_TEST(read_perfetto(whole.substr(0, whole.size() - 1)).cut);
}

BOOST_AUTO_TEST_CASE(chromes_format_tells_the_same) {
    const auto chrome = short_chrome_trace();
    BOOST_TEST(is_chrome(chrome));
    BOOST_TEST(!is_chrome(short_trace()));
    const auto trace = read_chrome(chrome);
    BOOST_TEST(trace.broken == 0U);
    BOOST_TEST(!trace.cut);
    BOOST_TEST(trace.begin == 1'000'000U);
    BOOST_TEST(summary(trace) == summary(read_perfetto(short_trace())));
    BOOST_TEST(picture(trace, {}) == picture(read_perfetto(short_trace()), {}));
    const auto end = chrome.rfind(']');
    for (std::size_t size = 0; size < end; ++size) {
        const auto part = read_chrome(chrome.substr(0, size));
        BOOST_TEST(part.broken == 0U);
        BOOST_TEST(part.cut);
        static_cast<void>(summary(part));
    }
}

BOOST_AUTO_TEST_CASE(traces_of_other_programs_in_chromes_format_are_read) {
    const auto trace = read_chrome(
        R"({"otherData": {"[": 1}, "traceEvents": [
            {"ph": "X", "pid": 1, "tid": 2, "ts": 5, "dur": 2.5, "name": "work {\"}"},
            {"ph": "X", "tid": 2, "ts": 9, "dur": 0, "name": "point"}, {"ph": "B", "tid": 2, "ts": -1, "name": "early"},
            {"ph": "?", "ts": 1}, {"ph": 1}, {"ph": "E", "tid": 3, "ts": 1}, {"ph" "E"}, {"ph": "C", "ts": 9, "args": {}}
        ], "stackFrames": {}})");
    BOOST_TEST(!trace.cut);
    BOOST_TEST(trace.broken == 5U);
    BOOST_TEST_REQUIRE(trace.tracks.size() == 3U);
    BOOST_TEST_REQUIRE(trace.tracks[0].slices.size() == 1U);
    BOOST_TEST(trace.tracks[0].slices[0].end - trace.tracks[0].slices[0].begin == 2500U);
    BOOST_TEST(trace.names[trace.tracks[0].slices[0].name] == "work {\"}");
    BOOST_TEST(trace.tracks[0].instants.size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_picture_has_a_row_for_each_track_and_only_the_part_that_was_asked_for) {
    const auto trace = read_perfetto(short_trace());
    const auto all = picture(trace, {});
    for (const auto* const text : {"vCPU 0", "serial0", "serial0 output", "uart16550 write", "42 bytes", "a&lt;b&gt;.bin"})
        BOOST_TEST(has(all, text), text << " is not in " << all);
    BOOST_TEST(!has(all, "a<b>"));
    // Where the next one is too near, there is no room for its name.
    const std::string_view elsewhere = ">goes elsewhere: to tcp:1&lt;2</text>";
    BOOST_TEST(has(all, ">client came</text>"), all);
    BOOST_TEST(!has(all, elsewhere), all);
    BOOST_TEST(has(picture(trace, {.from = 8'900'000, .to = 9'400'000}), elsewhere));
    BOOST_TEST(!has(all, ">trace ends</text>"), all);
    // The guest has half of the width, the access the other half, and above it what waits.
    BOOST_TEST(has(all, "x=\"150\" y=\"66\" width=\"450\" height=\"18\" fill=\"#8fc7a1\""), all);
    BOOST_TEST(has(all, "x=\"690\" y=\"75\" width=\"180\" height=\"9\" fill=\"#f2d17c\""), all);
    const auto part = picture(trace, {.from = 1'000'000, .to = 2'000'000});
    BOOST_TEST(has(part, "x=\"150\" y=\"66\" width=\"900\" height=\"18\" fill=\"#8fc7a1\""), part);
    BOOST_TEST(!has(part, "fill=\"#f2d17c\"/>\n<path"));
    BOOST_TEST(has(picture(trace, {.from = 1ULL << 60, .to = 1ULL << 61}), "</svg>"));
    BOOST_TEST(has(picture(Trace(), {}), "</svg>"));
}

BOOST_AUTO_TEST_CASE(whatever_the_file_is_it_is_read_summed_up_and_drawn) {
    std::mt19937 random(20261129);
    for (int i = 0; i < 6000; ++i) {
        const bool chrome = i % 2 == 1;
        std::string bytes = chrome ? short_chrome_trace() : short_trace();
        for (unsigned changes = random() % 8; changes > 0; --changes)
            bytes[random() % bytes.size()] = static_cast<char>(random());
        if (random() % 4 == 0) bytes.resize(random() % bytes.size());
        const auto trace = chrome ? read_chrome(bytes) : read_perfetto(bytes);
        BOOST_TEST_REQUIRE(trace.begin <= trace.end);
        BOOST_TEST_REQUIRE(!summary(trace).empty());
        if (i % 10 == 0) BOOST_TEST_REQUIRE(has(picture(trace, {.from = random()}), "</svg>"));
    }
}
