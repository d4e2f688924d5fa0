#define BOOST_TEST_MODULE timeline
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>
#include <string>

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
    format.gap(0);
    const Argument lost{"lost records", 5};
    format.instant({.source = 0, .time = at(10'000), .track = cpu, .name = "trace ends", .arguments = std::span(&lost, 1)});
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
    BOOST_TEST(has(text, "asyncvm a<b>.bin: 10.00 ms, 9 events\n"), text);
    BOOST_TEST(has(text, "5 events are missing"), text);
    BOOST_TEST(has(text, "vCPU 0          50.0 %    30.0 %    20.0 %         1"), text);
    BOOST_TEST(has(text, "uart16550 write                            1     5.00 ms     5.00 ms     5.00 ms\n"), text);
    BOOST_TEST(has(text, "uart16550 write                      6.00 ms     2.00 ms  vCPU 0, port 0x3f8\n"), text);
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
