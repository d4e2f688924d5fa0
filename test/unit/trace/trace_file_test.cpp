#include "trace/trace_file.hpp"

#include <asyncvm/error.hpp>

#include <sys/stat.h>
#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace asyncvm;
using namespace asyncvm::trace;

namespace {

struct Files {
    Files() {
        std::string pattern = (std::filesystem::temp_directory_path() / "traceXXXXXX").string();
        BOOST_REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        directory = pattern;
    }
    ~Files() { std::filesystem::remove_all(directory); }
    std::filesystem::path directory;
    std::vector<std::string> lines;
    Log log = [this](std::string_view line) { lines.emplace_back(line); };
    Names names;

    static std::string read(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

std::vector<Record> rings(std::size_t count) {
    Record record;
    record.kind = Kind::rung;
    record.time = now();
    return std::vector<Record>(count, record);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(trace_file)

BOOST_FIXTURE_TEST_CASE(what_is_flushed_is_in_the_file_before_its_end, Files) {
    const auto path = (directory / "t.json").string();
    std::ofstream(path) << std::string(10'000, 'x');
    TraceFile file(path, TraceFormat::json, "test", names, log);
    file.add_source(Recording::no_cpu);
    file.take(0, rings(3));
    file.flush();
    const auto early = read(path);
    BOOST_TEST(early.starts_with("[\n{"));
    BOOST_TEST(early.ends_with("}"));
    BOOST_TEST(early.size() < 2000U);
    file.finish(0);
    BOOST_TEST(read(path).ends_with("\n]\n"));
    BOOST_TEST(file.counts()->bytes == read(path).size());
    BOOST_TEST(file.counts()->records == 3U);
    BOOST_TEST(lines.empty());
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_is_told_once_and_ends_the_trace, Files) {
    TraceFile file("/dev/full", TraceFormat::perfetto, "test", names, log);
    file.add_source(Recording::no_cpu);
    for (int i = 0; i < 5; ++i) {
        file.take(0, rings(10'000));
        file.flush();
    }
    file.finish(0);
    BOOST_TEST_REQUIRE(lines.size() == 1U);
    BOOST_TEST(lines[0] == "cannot write the trace /dev/full: no space left on device (it ends here; the guest goes on)");
    BOOST_TEST(file.counts()->failed);
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_opened_is_an_error_that_names_it, Files) {
    const auto fifo = (directory / "fifo").string();
    BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    for (const auto& path : {fifo, (directory / "no" / "file").string(), directory.string()}) {
        BOOST_CHECK_EXCEPTION(TraceFile(path, TraceFormat::perfetto, "test", names, log), Error, [&](const Error& error) {
            return error.kind() == ErrorKind::host &&
                   std::string_view(error.what()).starts_with("cannot write the trace " + path + ": ");
        });
    }
}

BOOST_AUTO_TEST_SUITE_END()
