// A serial port on a pseudo-terminal: who opens it, leaves and comes again.
#define BOOST_TEST_MODULE serial_pty
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// Somebody at the terminal.
class Terminal {
public:
    explicit Terminal(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        if (fd_ < 0) throw std::runtime_error("cannot open " + path);
    }
    ~Terminal() { ::close(fd_); }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    [[nodiscard]] std::string read(std::size_t count) {
        std::string text;
        while (text.size() < count) {
            pollfd poll{fd_, POLLIN, 0};
            const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
            if (::poll(&poll, 1, static_cast<int>(limit.count())) != 1) throw std::runtime_error("nothing on the terminal");
            std::string part(count - text.size(), '\0');
            const auto got = ::read(fd_, part.data(), part.size());
            if (got <= 0) throw std::runtime_error("the terminal is gone");
            text.append(part, 0, static_cast<std::size_t>(got));
        }
        return text;
    }
    void write(std::string_view text) {
        if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            throw std::runtime_error("cannot write to the terminal");
    }
    [[nodiscard]] bool is_raw() const {
        termios settings{};
        return ::tcgetattr(fd_, &settings) == 0 && (settings.c_lflag & (ICANON | ECHO)) == 0;
    }

private:
    int fd_;
};

std::string path_of(SerialVm& vm) {
    const std::string words = "serial0 is on pty ";
    const auto line = vm.wait_for_error_line(words);
    return line.substr(line.find(words) + words.size());
}

}  // namespace

BOOST_AUTO_TEST_CASE(who_opens_the_terminal_after_the_guest_has_halted_reads_everything) {
    SerialVm vm("pty", printing_blocks(8));
    const auto path = path_of(vm);
    const auto line = vm.wait_for_error_line("the guest has ended");
    BOOST_TEST(line.find(path) != line.npos, line);
    Terminal terminal(path);
    BOOST_TEST(terminal.is_raw());
    BOOST_TEST(terminal.read(8 * block_size) == blocks_text(0, 8 * block_size));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(the_program_ends_only_when_the_terminals_reader_has_everything) {
    // More than the 4 KiB that the reading side of a terminal holds: what is behind that follows when a reader has made
    // room, and a little later.
    for (int i = 0; i < 5; ++i) {
        SerialVm vm("pty", printing_blocks(7));
        const auto path = path_of(vm);
        vm.wait_for_error("the guest has ended");
        Terminal terminal(path);
        BOOST_TEST(terminal.read(7 * block_size) == blocks_text(0, 7 * block_size));
        vm.check_end();
    }
}

BOOST_AUTO_TEST_CASE(who_leaves_and_comes_again_loses_nothing) {
    SerialVm vm("pty", blocks_on_request());
    const auto path = path_of(vm);
    for (std::size_t i = 0; i < 10; ++i) {
        Terminal terminal(path);
        terminal.write(".");
        BOOST_TEST(terminal.read(block_size) == blocks_text(i * block_size, block_size));
    }
    Terminal last(path);
    last.write("." + std::string(no_more_blocks));
    BOOST_TEST(last.read(block_size) == blocks_text(10 * block_size, block_size));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(what_is_printed_while_nobody_is_there_waits) {
    SerialVm vm("pty", blocks_on_request());
    const auto path = path_of(vm);
    {
        Terminal terminal(path);
        terminal.write("1");
        BOOST_TEST(terminal.read(block_size) == blocks_text(0, block_size));
        terminal.write("23" + std::string(no_more_blocks));
    }
    vm.wait_for_error("the guest has ended");
    Terminal again(path);
    BOOST_TEST(again.read(2 * block_size) == blocks_text(block_size, 2 * block_size));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(with_wait_the_guest_starts_when_the_terminal_is_opened) {
    TemporaryDirectory directory;
    SerialVm vm("pty,wait", printing_blocks(2));
    const auto path = path_of(vm);
    Terminal terminal(path);
    BOOST_TEST(terminal.read(2 * block_size) == blocks_text(0, 2 * block_size));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_reader_that_stops_reading_stops_only_the_output) {
    SerialVm vm("pty,backlog=4K", printing_blocks(100));
    Terminal terminal(path_of(vm));
    BOOST_TEST(terminal.read(100) == blocks_text(0, 100));
    vm.send_signal(SIGINT);
    vm.check_end(128 + SIGINT);
}
