#include "trace/trace_file.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

using namespace asyncvm;
using namespace asyncvm::trace;
using namespace std::chrono_literals;

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
    BOOST_TEST(file.counts()->records == 0U);
    BOOST_TEST_REQUIRE(lines.size() == 1U);
    BOOST_TEST(lines[0] == "cannot write the trace /dev/full: no space left on device (it ends here; the guest goes on)");
    BOOST_TEST(file.counts()->failed);
}

BOOST_FIXTURE_TEST_CASE(much_is_written_before_anybody_asks_for_it, Files) {
    const auto path = (directory / "t").string();
    TraceFile file(path, TraceFormat::perfetto, "a\xff", names, log);
    file.add_source(Recording::no_cpu);
    const auto small = file.counts()->bytes.load();
    file.take(0, rings(10));
    BOOST_TEST(file.counts()->bytes == small);
    file.take(0, rings(100'000));
    BOOST_TEST(file.counts()->bytes > 1'000'000U);
    BOOST_TEST(read(path).size() == file.counts()->bytes);
    // What is no text would end the import.
    BOOST_TEST(read(path).substr(0, small).find("a?") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_slow_reader_is_waited_for_but_for_one_that_reads_nothing_at_the_end, Files) {
    const auto path = (directory / "fifo").string();
    BOOST_REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    TraceFile file(path, TraceFormat::perfetto, "test", names, log);
    file.add_source(Recording::no_cpu);
    // More than the pipe takes. The file looks once a second whether it is needed no more.
    std::atomic<bool> taken = false;
    std::thread slow([&] {
        std::this_thread::sleep_for(1200ms);
        std::string part(65536, '\0');
        while (!taken) {
            if (::read(reader.get(), part.data(), part.size()) <= 0) std::this_thread::yield();
        }
    });
    file.take(0, rings(100'000));
    taken = true;
    slow.join();
    BOOST_TEST(!file.counts()->failed);
    file.take(0, rings(8000));
    BOOST_TEST(!file.counts()->failed);
    file.finish(0);
    BOOST_TEST_REQUIRE(lines.size() == 1U);
    BOOST_TEST(lines[0].find("timed out") != std::string::npos, lines[0]);
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
