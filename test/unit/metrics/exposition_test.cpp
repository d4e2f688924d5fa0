// Statistics as text for Prometheus.
#define BOOST_TEST_MODULE metrics
#include <metrics/exposition.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::metrics;
using namespace std::chrono_literals;

namespace {

Statistics some_statistics() {
    Statistics statistics;
    statistics.elapsed = 1500ms;
    statistics.exits = {{"port", 12}, {"memory", 0}};
    PlaceStatistics uart;
    uart.range = {0x3f8, 8};
    uart.device = "uart16550";
    uart.reads = 3;
    uart.writes = 4;
    uart.bytes = 7;
    uart.posted = 5;
    uart.in_device.total = 250ms;
    uart.waiting.total = 125ms;
    PlaceStatistics other;
    other.reads = 1;
    PlaceStatistics memory = other;
    memory.space = Space::memory;
    PlaceStatistics nowhere;  // as a PCI function that the guest has not enabled
    nowhere.space = Space::memory;
    nowhere.range = {0, 0};
    nowhere.device = "virtio-net";
    PlaceStatistics post;  // one address
    post.range = {0x80, 1};
    post.device = "post";
    post.writes = 6;
    statistics.places = {uart, post, other, nowhere, nowhere, memory};
    statistics.unclaimed = {{Space::port, {0x64, 2, 1}}};
    CpuStatistics cpu;
    cpu.in_guest = 1s;
    cpu.in_device = 2s;
    cpu.waiting = 3s;
    cpu.wake_ups = 9;
    statistics.cpus = {cpu, cpu};
    statistics.loop_wake_ups = 77;
    return statistics;
}

std::vector<Stream> some_streams() {
    return {{{"serial0", "tcp:127.0.0.1:1", {10, 20}}, true}, {{"odd\"\\\nname", "null", {}}, false}};
}

std::vector<std::string> lines_of(const std::string& text) {
    BOOST_TEST(text.ends_with('\n'));
    BOOST_TEST(text.find('\r') == std::string::npos);
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

std::string family_of(const std::string& sample) { return sample.substr(0, sample.find_first_of("{ ")); }

bool contains(const std::vector<std::string>& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(exposition_text)

BOOST_AUTO_TEST_CASE(every_number_is_there) {
    const auto lines = lines_of(exposition(some_statistics(), some_streams(), Format::classic));
    for (const char* const line : {
             "asyncvm_run_seconds 1.5",
             "asyncvm_exits_total{kind=\"port\"} 12",
             "asyncvm_accesses_total{space=\"port\",address=\"0x3f8-0x3ff\",device=\"uart16550\",direction=\"read\"} 3",
             "asyncvm_accesses_total{space=\"port\",address=\"0x3f8-0x3ff\",device=\"uart16550\",direction=\"write\"} 4",
             "asyncvm_accesses_total{space=\"memory\",address=\"other\",device=\"\",direction=\"read\"} 1",
             "asyncvm_access_bytes_total{space=\"port\",address=\"0x3f8-0x3ff\",device=\"uart16550\"} 7",
             "asyncvm_posted_writes_total{space=\"port\",address=\"0x3f8-0x3ff\",device=\"uart16550\"} 5",
             "asyncvm_device_seconds_total{space=\"port\",address=\"0x3f8-0x3ff\",device=\"uart16550\"} 0.25",
             "asyncvm_device_waiting_seconds_total{space=\"port\",address=\"0x3f8-0x3ff\",device=\"uart16550\"} 0.125",
             "asyncvm_unclaimed_accesses_total{space=\"port\",address=\"0x64\",direction=\"read\"} 2",
             "asyncvm_unclaimed_accesses_total{space=\"port\",address=\"0x64\",direction=\"write\"} 1",
             "asyncvm_accesses_total{space=\"port\",address=\"0x80\",device=\"post\",direction=\"write\"} 6",
             "asyncvm_vcpu_seconds_total{vcpu=\"1\",in=\"guest\"} 1",
             "asyncvm_vcpu_seconds_total{vcpu=\"1\",in=\"device\"} 2",
             "asyncvm_vcpu_seconds_total{vcpu=\"1\",in=\"waiting\"} 3",
             "asyncvm_build_info{version=\"" ASYNCVM_VERSION "\"} 1",
             "asyncvm_vcpu_wakeups_total{vcpu=\"0\"} 9",
             "asyncvm_loop_wakeups_total 77",
             "asyncvm_stream_bytes_total{stream=\"serial0\",direction=\"from_guest\"} 10",
             "asyncvm_stream_bytes_total{stream=\"serial0\",direction=\"to_guest\"} 20",
             "asyncvm_stream_connected{stream=\"serial0\"} 1",
             "asyncvm_stream_connected{stream=\"odd\\\"\\\\\\nname\"} 0",
         }) {
        BOOST_TEST(contains(lines, line), line);
    }
}

// Prometheus' own checker takes a series that comes twice.
BOOST_AUTO_TEST_CASE(each_series_comes_once_behind_the_help_and_the_type_of_its_family) {
    for (const auto format : {Format::classic, Format::open_metrics}) {
        std::set<std::string> families;
        std::set<std::string> series;
        std::string current;
        std::string type;
        for (const auto& line : lines_of(exposition(some_statistics(), some_streams(), format))) {
            if (line == "# EOF") break;
            if (line.starts_with("# HELP ")) {
                current = line.substr(7, line.find(' ', 7) - 7);
                BOOST_TEST(families.insert(current).second, line);
            } else if (line.starts_with("# TYPE ")) {
                BOOST_TEST(line.substr(7, current.size()) == current);
                type = line.substr(8 + current.size());
            } else {
                const bool counts = type == "counter";
                BOOST_TEST((counts || type == "gauge"));
                const auto expected = format == Format::open_metrics && counts ? current + "_total" : current;
                BOOST_TEST(family_of(line) == expected);
                BOOST_TEST(family_of(line).ends_with("_total") == counts);
                BOOST_TEST(series.insert(line.substr(0, line.rfind(' '))).second, line);
            }
        }
        BOOST_TEST(families.size() > 10u);
    }
}

BOOST_AUTO_TEST_CASE(only_open_metrics_has_an_end) {
    BOOST_TEST(exposition({}, {}, Format::open_metrics).ends_with("\n# EOF\n"));
    BOOST_TEST(exposition({}, {}, Format::classic).find("# EOF") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_page_names_each_family) {
    const char* const path = std::getenv("METRICS_PAGE");
    BOOST_TEST_REQUIRE(path != nullptr);
    std::ifstream file(path);
    const std::string page(std::istreambuf_iterator<char>(file), {});
    for (const auto& line : lines_of(exposition({}, {}, Format::classic))) {
        if (!line.starts_with("# HELP ")) continue;
        const auto row = "| `" + line.substr(7, line.find(' ', 7) - 7) + "` |";
        BOOST_TEST(page.find(row) != std::string::npos, "no row " << row);
    }
}

BOOST_AUTO_TEST_SUITE_END()
