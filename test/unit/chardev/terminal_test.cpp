#define BOOST_TEST_MODULE chardev_terminal
#include "chardev_fixture.hpp"
#include "descriptors.hpp"
#include "directory.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <csignal>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

int unread(int fd) {
    int bytes = -1;
    ::ioctl(fd, FIONREAD, &bytes);
    return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(pipes_carry_output_and_input) {
    StandardStreams standard;
    Fixture fixture;
    const auto serial = fixture.open("stdio");
    put(*serial, "hello\x01x");
    BOOST_TEST(read_text(standard.out.reader(), 7) == "hello\x01x");
    // Ctrl-A means something at a terminal only.
    write_text(standard.in.writer(), "in\x01x");
    BOOST_TEST(get(*serial, 4) == "in\x01x");
    Pair::close(standard.in.writer());
    put(*serial, "still here");
    BOOST_TEST(read_text(standard.out.reader(), 10) == "still here");
    BOOST_TEST(serial->connected());
    // What this process shares with others stays blocking.
    BOOST_TEST((::fcntl(standard.out.writer(), F_GETFL) & O_NONBLOCK) == 0);
    BOOST_TEST((::fcntl(standard.in.reader(), F_GETFL) & O_NONBLOCK) == 0);
}

BOOST_AUTO_TEST_CASE(of_standard_input_only_what_the_device_takes_is_read) {
    Pipe pipe;
    Pair ends;
    BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.fd.data()) == 0);
    for (const auto& [writer, reader] : {std::pair(pipe.writer(), pipe.reader()), std::pair(ends.fd[0], ends.fd[1])}) {
        write_text(writer, "0123456789");
        const Redirect stdin_is(0, reader);
        Fixture fixture;
        const auto serial = fixture.open("stdio");
        fixture.poll(20);
        BOOST_TEST(unread(reader) == 10);
        BOOST_TEST(get(*serial, 3) == "012");
        fixture.poll(20);
        BOOST_TEST(unread(reader) == 7);
        BOOST_TEST(get(*serial, 7) == "3456789");
        // Nothing there: the device is told when there is.
        std::byte none{};
        BOOST_TEST(serial->read_some(std::span(&none, 1)) == 0u);
        BOOST_TEST(!serial->readable());
        const auto seen = serial->changed().generation();
        write_text(writer, "ab");
        BOOST_TEST(eventually([&] { return serial->readable(); }));
        BOOST_TEST(serial->changed().generation() != seen);
        BOOST_TEST(get(*serial, 1) == "a");
        fixture.close(serial);
        BOOST_TEST_REQUIRE(unread(reader) == 1);
        BOOST_TEST(read_text(reader, 1) == "b");
    }
    const Directory directory;
    const auto path = directory / "list";
    std::ofstream(path) << "0123456789";
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    {
        const Redirect stdin_is(0, file);
        Fixture fixture;
        const auto serial = fixture.open("stdio");
        fixture.poll(20);
        BOOST_TEST(::lseek(file, 0, SEEK_CUR) == 0);
        BOOST_TEST(get(*serial, 4) == "0123");
        BOOST_TEST(::lseek(file, 0, SEEK_CUR) == 4);
        serial->give_back(2);
        BOOST_TEST(::lseek(file, 0, SEEK_CUR) == 2);
        BOOST_TEST(get(*serial, 8) == "23456789");
        std::byte none{};
        BOOST_TEST(serial->read_some(std::span(&none, 1)) == 0u);
        BOOST_TEST(!serial->readable());
    }
    ::close(file);
}

BOOST_AUTO_TEST_CASE(a_full_pipe_holds_the_guest_up_and_loses_nothing) {
    Pipe out;
    const Redirect stdout_is(1, out.writer());
    Fixture fixture;
    const auto serial = fixture.open("stdio,backlog=4K", false);
    std::string all;
    for (int i = 0; i < 50'000; ++i) all += std::to_string(i) + "\n";
    auto written = fixture.write(serial, all);
    BOOST_TEST(eventually([&] { return !serial->writable(); }));
    BOOST_TEST((read_text(out.reader(), all.size()) == all));
    BOOST_TEST(done(written));
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(a_closed_pipe_is_told_once_and_what_is_lost_is_reported) {
    Pipe out;
    const Redirect stdout_is(1, out.writer());
    Fixture fixture;
    const auto serial = fixture.open("stdio,backlog=16", false);
    Pair::close(out.reader());
    put(*serial, "lost");
    BOOST_TEST(fixture.lines.await("standard output is closed") ==
               "serial0: standard output is closed (broken pipe): what the guest prints is lost");
    BOOST_TEST(eventually([&] { return !serial->connected(); }));
    // The guest runs on.
    BOOST_TEST(put(*serial, "much more than sixteen bytes") == 28u);
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 32u);
    BOOST_TEST(fixture.lines.count("standard output") == 1u);
}

BOOST_AUTO_TEST_CASE(files_sockets_dev_null_and_nothing_work_as_standard_streams) {
    std::string path = "/tmp/chardev-stdio-XXXXXX";
    const int file = ::mkstemp(path.data());
    write_text(file, "typed");
    ::lseek(file, 0, SEEK_SET);
    {
        const Redirect stdin_is(0, file);
        Pair ends;
        BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.fd.data()) == 0);
        const Redirect stdout_is(1, ends.fd[1]);
        Fixture fixture;
        const auto serial = fixture.open("stdio");
        BOOST_TEST(get(*serial, 5) == "typed");
        put(*serial, "to a socket");
        BOOST_TEST(read_text(ends.fd[0], 11) == "to a socket");
        BOOST_TEST((::fcntl(ends.fd[1], F_GETFL) & O_NONBLOCK) == 0);
    }
    ::ftruncate(file, 0);
    ::lseek(file, 0, SEEK_SET);
    {
        const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        const Redirect stdin_is(0, null);
        const Redirect stdout_is(1, file);
        Fixture fixture;
        const auto serial = fixture.open("stdio");
        put(*serial, "to a file");
        auto drained = fixture.drain(serial);
        BOOST_TEST_REQUIRE(done(drained));
        BOOST_TEST(drained.get() == 0u);
        BOOST_TEST(contents(path) == "to a file");
        ::close(null);
    }
    ::close(file);
    ::unlink(path.c_str());
    {
        const Redirect stdin_is(0, -1);
        const Redirect stdout_is(1, -1);
        Fixture fixture;
        const auto serial = fixture.open("stdio");
        put(*serial, "nowhere");
        auto drained = fixture.drain(serial);
        BOOST_TEST_REQUIRE(done(drained));
        BOOST_TEST(drained.get() == 7u);
    }
}

BOOST_AUTO_TEST_CASE(several_devices_share_standard_output_in_order) {
    StandardStreams standard;
    Fixture fixture;
    const auto counter = fixture.open("stdio", false);
    const auto serial = fixture.open("stdio", true);
    BOOST_CHECK_EXCEPTION(fixture.open("stdio", true), Error, [](const Error& error) {
        return error.kind() == ErrorKind::usage &&
               std::string(error.what()).find("serial1 reads standard input already") != std::string::npos;
    });
    BOOST_CHECK_EXCEPTION(fixture.open("stdio,full=drop", false), Error, [](const Error& error) {
        return error.kind() == ErrorKind::usage &&
               std::string(error.what()).find("serial0 is on it too, and its options hold for both") != std::string::npos;
    });
    std::string expected;
    for (int i = 0; i < 100; ++i) {
        put(i % 2 == 0 ? *counter : *serial, std::to_string(i));
        expected += std::to_string(i);
    }
    BOOST_TEST(read_text(standard.out.reader(), expected.size()) == expected);
    write_text(standard.in.writer(), "k");
    BOOST_TEST(get(*serial, 1) == "k");
    write_text(standard.in.writer(), "k");
    BOOST_TEST(eventually([&] { return serial->readable(); }));
    BOOST_TEST(!counter->readable());
    fixture.close(serial);
    put(*counter, "on");
    BOOST_TEST(read_text(standard.out.reader(), 2) == "on");
    // Its place as the reader is free again.
    const auto next = fixture.open("stdio", true);
    BOOST_TEST(next->description() == "stdio");
}

BOOST_AUTO_TEST_CASE(a_terminal_is_raw_while_it_is_used_and_restored_after) {
    Terminal terminal;
    const Redirect stdin_is(0, terminal.program());
    const Redirect stdout_is(1, terminal.program());
    std::atomic<int> quit = 0;
    {
        Fixture fixture;
        const auto serial = fixture.open("stdio", true, [&] { ++quit; });
        BOOST_TEST(!fixture.lines.await("serial0 is this terminal: Ctrl-A x ends, Ctrl-A h helps").empty());
        BOOST_TEST(terminal.raw());
        BOOST_TEST((terminal.settings().c_oflag & OPOST) != 0u);
        BOOST_TEST((::fcntl(0, F_GETFL) & O_NONBLOCK) == 0);
        write_text(terminal.person(), "a\x03\r\x01\x01");
        BOOST_TEST(get(*serial, 4) == "a\x03\r\x01");
        write_text(terminal.person(),
                   "\x01"
                   "c");
        BOOST_TEST(!fixture.lines.await("Ctrl-A x  ends").empty());
        BOOST_TEST(quit == 0);
        write_text(terminal.person(),
                   "d\x01"
                   "be");
        BOOST_TEST(get(*serial, 1) == "d");
        BOOST_TEST(eventually([&] { return serial->take_break(); }));
        BOOST_TEST(get(*serial, 1) == "e");
        write_text(terminal.person(), "\x01x");
        BOOST_TEST(eventually([&] { return quit == 1; }));
        put(*serial, "out\n");
        BOOST_TEST(read_text(terminal.person(), 5) == "out\r\n");
        fixture.close(serial);
        BOOST_TEST(terminal.cooked());
    }
    {
        Fixture fixture;
        (void)fixture.open("stdio");
        BOOST_TEST(terminal.raw());
    }
    BOOST_TEST(terminal.cooked());
}

BOOST_AUTO_TEST_CASE(a_terminals_size_and_its_changes_are_known) {
    Terminal terminal;
    const auto resize = [&terminal](unsigned short columns, unsigned short rows) {
        winsize window{};
        window.ws_col = columns;
        window.ws_row = rows;
        BOOST_TEST(::ioctl(terminal.person(), TIOCSWINSZ, &window) == 0);
    };
    const Redirect stdin_is(0, terminal.program());
    const Redirect stdout_is(1, terminal.program());
    resize(100, 30);
    Fixture fixture;
    const auto serial = fixture.open("stdio,cols=80,rows=25");
    BOOST_TEST(eventually([&] { return serial->terminal_size() == TerminalSize{.columns = 100, .rows = 30}; }));
    const auto seen = serial->changed().generation();
    resize(120, 40);
    // The terminal is not this process's controlling one: the kernel sends nothing.
    ::kill(::getpid(), SIGWINCH);
    BOOST_TEST(eventually([&] { return serial->terminal_size() == TerminalSize{.columns = 120, .rows = 40}; }));
    BOOST_TEST(serial->changed().generation() != seen);
}

BOOST_AUTO_TEST_CASE(null_takes_everything) {
    Fixture fixture;
    const auto serial = fixture.open("null");
    const std::string text(10 << 20, 'x');
    BOOST_TEST(put(*serial, text) == text.size());
    BOOST_TEST(serial->writable());
    BOOST_TEST(serial->connected());
    BOOST_TEST(!serial->readable());
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}
