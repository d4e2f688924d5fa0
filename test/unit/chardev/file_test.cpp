// file:PATH and log=PATH: where their bytes land, whoever else writes the same file.
#define BOOST_TEST_MODULE chardev_file
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "descriptors.hpp"
#include "directory.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

void deliver(Fixture& fixture, const std::shared_ptr<Chardev>& chardev) {
    auto drained = fixture.drain(chardev);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

void write_file(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

void check_refused(Fixture& fixture, const std::string& spec, const std::string& why) {
    BOOST_CHECK_EXCEPTION(fixture.open(spec), Error, [&](const Error& error) {
        BOOST_TEST(std::string(error.what()) == why);
        return error.kind() == ErrorKind::host;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_file_gets_everything) {
    const std::string path = "/tmp/chardev-file-" + std::to_string(::getpid());
    std::ofstream(path) << "old";
    for (const bool append : {false, true}) {
        Fixture fixture;
        const auto serial = fixture.open("file:" + path + (append ? ",append,backlog=1K" : ",backlog=1K"));
        BOOST_TEST(serial->connected());
        const std::string text(100'000, append ? 'b' : 'a');
        auto written = fixture.write(serial, text);
        BOOST_TEST(done(written));
        auto drained = fixture.drain(serial);
        BOOST_TEST_REQUIRE(done(drained));
        BOOST_TEST(drained.get() == 0u);
    }
    BOOST_TEST((contents(path) == std::string(100'000, 'a') + std::string(100'000, 'b')));
    ::unlink(path.c_str());
    Fixture fixture;
    BOOST_CHECK_EXCEPTION(fixture.open("file:/nonexistent/x"), Error,
                          [](const Error& error) { return error.kind() == ErrorKind::host; });
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_told_once_and_given_up_soon_after_the_end) {
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    const Redirect stdout_is(1, full);
    ::close(full);
    struct Case {
        std::string spec;
        std::string told;
        std::string waits;
    };
    const Case cases[] = {
        {"file:/dev/full", "serial0: cannot write /dev/full",
         "serial0: the guest has ended; 8 bytes wait to be written to /dev/full"},
        {"null,log=/dev/full", "serial1: cannot write /dev/full",
         "serial1: the guest has ended; 8 bytes wait to be written to /dev/full"},
        {"file:/dev/stdout", "serial2: cannot write /dev/stdout",
         "serial2: the guest has ended; 8 bytes wait to be written to"},
        {"stdio", "serial3: cannot write to standard output",
         "serial3: the guest has ended; 8 bytes wait for standard output"},
    };
    Fixture fixture;
    std::vector<std::future<std::uint64_t>> drained;
    for (const auto& [spec, told, waits] : cases) {
        const auto serial = fixture.open(spec, false);
        put(*serial, "kept");
        BOOST_TEST(fixture.lines.await(told).ends_with(
            ": no space left on device (it is tried again each second, and the output is kept)"));
        put(*serial, "kept");
        drained.push_back(fixture.drain(serial));
    }
    for (auto& end : drained) {
        BOOST_TEST_REQUIRE(done(end));
        BOOST_TEST(end.get() == 8u);
    }
    for (const auto& [spec, told, waits] : cases) {
        BOOST_TEST(fixture.lines.count(told) == 1u);
        BOOST_TEST(fixture.lines.await(waits).ends_with("(Ctrl-C gives up); given up after 2 s"));
    }
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_waited_for_as_long_as_linger_allows) {
    Fixture fixture;
    const auto serial = fixture.open("file:/dev/full,linger=1000000");
    put(*serial, "kept");
    auto drained = fixture.drain(serial);
    BOOST_TEST(!fixture.lines.await("4 bytes wait to be written to /dev/full").empty());
    BOOST_TEST((drained.wait_for(2500ms) == std::future_status::timeout));
    BOOST_TEST(fixture.lines.count("given up") == 0u);
    fixture.close(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 4u);
    const auto hasty = fixture.open("file:/dev/full,linger=0");
    put(*hasty, "kept");
    auto at_once = fixture.drain(hasty);
    BOOST_TEST_REQUIRE(done(at_once));
    BOOST_TEST(at_once.get() == 4u);
}

BOOST_AUTO_TEST_CASE(a_file_that_may_not_grow_is_a_full_disk) {
    const Directory directory;
    const auto path = directory / "out";
    const int out = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const Redirect stdout_is(1, out);
    ::close(out);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = ::signal(SIGXFSZ, SIG_IGN);
    {
        Fixture fixture;
        const auto serial = fixture.open("stdio", false);
        const rlimit small{2, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
        put(*serial, "1234");
        BOOST_TEST(!fixture.lines.await("cannot write to standard output: file too large").empty());
        ::setrlimit(RLIMIT_FSIZE, &before);
        auto drained = fixture.drain(serial);
        BOOST_TEST_REQUIRE(done(drained));
        BOOST_TEST(drained.get() == 0u);
    }
    ::signal(SIGXFSZ, handler);
    BOOST_TEST(contents(path) == "1234");
}

BOOST_AUTO_TEST_CASE(a_pipe_whose_reader_is_slow_is_waited_for) {
    Fixture fixture;
    const Directory directory;
    const auto fifo = directory / "fifo";
    BOOST_TEST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const auto serial = fixture.open("file:" + fifo + ",backlog=1M");
    const std::string text(200'000, 'x');
    put(*serial, text);
    auto drained = fixture.drain(serial);
    BOOST_TEST(!fixture.lines.await("bytes wait to be written to " + fifo).empty());
    BOOST_TEST((drained.wait_for(2500ms) == std::future_status::timeout));
    ::fcntl(reader, F_SETFL, 0);
    BOOST_TEST(read_text(reader, text.size()).size() == text.size());
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    ::close(reader);
}

BOOST_AUTO_TEST_CASE(the_log_gets_a_copy_of_everything) {
    Fixture fixture;
    const Directory directory;
    const auto path = directory / "log";
    const auto serial = fixture.open("tcp:0,log=" + path);
    put(*serial, "one ");
    BOOST_TEST(eventually([&] { return contents(path) == "one "; }));
    Client client(serial->description());
    BOOST_TEST(client.receive(4) == "one ");
    put(*serial, "two");
    BOOST_TEST(client.receive(3) == "two");
    fixture.close(serial);
    BOOST_TEST(contents(path) == "one two");
    BOOST_CHECK_EXCEPTION(fixture.open("tcp:0,log=/nonexistent/log"), Error, [](const Error& e) {
        return e.kind() == ErrorKind::host &&
               std::string(e.what()) == "cannot open /nonexistent/log for writing: no such file or directory";
    });
}

BOOST_AUTO_TEST_CASE(what_is_cut_short_while_it_is_written_goes_on_at_its_new_end) {
    for (const std::string spec : {"file:", "null,log="}) {
        Fixture fixture;
        const Directory directory;
        const auto path = directory / "log";
        const auto serial = fixture.open(spec + path);
        put(*serial, "before");
        BOOST_TEST(eventually([&] { return contents(path) == "before"; }));
        BOOST_TEST_REQUIRE(::truncate(path.c_str(), 0) == 0);
        put(*serial, "after");
        BOOST_TEST(eventually([&] { return contents(path).ends_with("after"); }));
        BOOST_TEST(contents(path) == "after");
    }
}

BOOST_AUTO_TEST_CASE(a_log_is_kept_with_append_and_emptied_without) {
    Fixture fixture;
    const Directory directory;
    const auto path = directory / "log";
    write_file(path, "old ");
    for (const std::string text : {"one ", "two"}) {
        const auto serial = fixture.open("null,append,log=" + path);
        put(*serial, text);
        fixture.close(serial);
    }
    BOOST_TEST(contents(path) == "old one two");
    const auto serial = fixture.open("null,log=" + path);
    BOOST_TEST(contents(path).empty());
}

BOOST_AUTO_TEST_CASE(a_file_with_several_names_is_emptied_once_and_gets_what_all_of_them_print) {
    const Directory directory;
    const auto path = directory / "out";
    const auto hard_link = directory / "hard";
    const auto soft_link = directory / "soft";
    write_file(path, "old");
    BOOST_TEST_REQUIRE(::link(path.c_str(), hard_link.c_str()) == 0);
    BOOST_TEST_REQUIRE(::symlink("out", soft_link.c_str()) == 0);
    Fixture fixture;
    std::vector<std::shared_ptr<Chardev>> serials;
    serials.push_back(fixture.open("file:" + path));
    put(*serials.front(), "0");
    BOOST_TEST(eventually([&] { return contents(path) == "0"; }));
    for (const auto& spec : {"file:" + path, "file:" + hard_link, "null,log=" + soft_link}) {
        serials.push_back(fixture.open(spec));
    }
    const std::string part(1000, '.');
    for (int round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < serials.size(); ++i) put(*serials[i], part + static_cast<char>('1' + i));
    }
    for (const auto& serial : serials) fixture.close(serial);
    const auto text = contents(path);
    BOOST_TEST(text.size() == 1u + 20 * 4 * 1001);
    for (const char who : {'1', '2', '3', '4'}) BOOST_TEST(std::ranges::count(text, who) == 20);
    // Nobody has it open any more: the next one begins anew.
    const auto again = fixture.open("file:" + hard_link);
    BOOST_TEST(contents(path).empty());
}

BOOST_AUTO_TEST_CASE(a_path_that_leads_to_a_descriptor_means_that_descriptor_with_its_position) {
    const Directory directory;
    const auto path = directory / "out";
    const auto link = directory / "link";
    BOOST_TEST_REQUIRE(::symlink("/dev/stdout", link.c_str()) == 0);
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const Redirect stdout_is(1, file);
    const int spare = ::dup(file);
    std::string expected;
    for (const auto& name :
         {std::string("/dev/stdout"), "/dev/fd/" + std::to_string(spare), "/proc/self/fd/" + std::to_string(spare),
          "/proc/" + std::to_string(::getpid()) + "/fd/1", link, path}) {
        for (const std::string spec : {"file:", "null,log="}) {
            write_text(file, "<");
            Fixture fixture;
            const auto serial = fixture.open(spec + name);
            put(*serial, name);
            deliver(fixture, serial);
            fixture.close(serial);
            write_text(file, ">");
            expected += "<" + name + ">";
        }
    }
    ::close(spare);
    ::close(file);
    BOOST_TEST(contents(path) == expected);
}

BOOST_AUTO_TEST_CASE(a_standard_output_that_is_a_socket_or_a_pipe_is_written_as_a_file) {
    Pair ends;
    BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.fd.data()) == 0);
    Pipe pipe;
    for (const auto& [writer, reader] : {std::pair(ends.fd[1], ends.fd[0]), std::pair(pipe.writer(), pipe.reader())}) {
        const Redirect stdout_is(1, writer);
        Fixture fixture;
        const auto serial = fixture.open("file:/dev/stdout,log=/dev/stdout");
        // More than the kernel holds: the rest goes when there is room again.
        std::string text(600'000, 'x');
        auto written = fixture.write(serial, text);
        BOOST_TEST(read_text(reader, 2 * text.size()).size() == 2 * text.size());
        BOOST_TEST_REQUIRE(done(written));
        deliver(fixture, serial);
        BOOST_TEST((::fcntl(writer, F_GETFL) & O_NONBLOCK) == 0);
    }
}

BOOST_AUTO_TEST_CASE(a_path_that_cannot_be_written_is_refused_with_its_own_reason) {
    Fixture fixture;
    const Directory directory;
    const auto fifo = directory / "fifo";
    BOOST_TEST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    check_refused(fixture, "file:" + fifo, "cannot open " + fifo + ": nobody reads this pipe (start its reader first)");
    const auto socket = directory / "socket";
    const auto server = fixture.open("unix:" + socket);
    check_refused(fixture, "file:" + socket,
                  "cannot open " + socket + ": it is a socket (unix:" + socket + ",client connects to it)");
    check_refused(fixture, "file:/dev/fd/999", "cannot open /dev/fd/999: descriptor 999 is not open");
    const int null = ::open("/dev/null", O_RDONLY);
    const auto reading = "/dev/fd/" + std::to_string(null);
    check_refused(fixture, "null,log=" + reading,
                  "cannot open " + reading + ": descriptor " + std::to_string(null) + " is open for reading only");
    ::close(null);
    // What the process has opened for itself is nobody's to write to.
    const int own = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const auto path = "/dev/fd/" + std::to_string(own);
    check_refused(fixture, "file:" + path, "cannot open " + path + ": descriptor " + std::to_string(own) + " is not open");
    ::close(own);
}
