/// Pipes, terminals and files for the tests of stdio and pty.
#pragma once

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <string>
#include <string_view>

namespace asyncvm::test {

/// Puts a descriptor in the place of standard input or output, and takes it back.
class Redirect {
public:
    Redirect(int target, int with) : target_(target), saved_(::fcntl(target, F_DUPFD_CLOEXEC, 10)) {
        if (with >= 0) {
            ::dup2(with, target);
        } else {
            ::close(target);
        }
    }
    ~Redirect() {
        ::dup2(saved_, target_);
        ::close(saved_);
    }
    Redirect(const Redirect&) = delete;
    Redirect& operator=(const Redirect&) = delete;

private:
    int target_;
    int saved_;
};

/// Both ends of a pipe, a socket pair, or a terminal: [0] is the one for the test or for reading.
struct Pair {
    std::array<int, 2> fd{-1, -1};
    ~Pair() {
        for (int& end : fd) close(end);
    }
    static void close(int& end) {
        if (end >= 0) ::close(end);
        end = -1;
    }
};

struct Pipe : Pair {
    Pipe() { BOOST_REQUIRE(::pipe2(fd.data(), O_CLOEXEC) == 0); }
    int& reader() { return fd[0]; }
    int& writer() { return fd[1]; }
};

/// The process's standard input and output are pipes: what is written to `in` is read there.
struct StandardStreams {
    Pipe in;
    Pipe out;
    const Redirect output{1, out.writer()};
    const Redirect input{0, in.reader()};
};

/// A terminal: what a person types goes into person(), the program has program().
struct Terminal : Pair {
    Terminal() {
        fd[0] = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        ::grantpt(fd[0]);
        ::unlockpt(fd[0]);
        fd[1] = ::open(::ptsname(fd[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
        BOOST_REQUIRE(fd[1] >= 0);
    }
    int person() const { return fd[0]; }
    int program() const { return fd[1]; }
    termios settings() const {
        termios now{};
        ::tcgetattr(fd[1], &now);
        return now;
    }
    bool raw() const { return (settings().c_lflag & (ICANON | ECHO | ISIG)) == 0; }
    bool cooked() const { return (settings().c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG); }
};

inline std::string read_text(int fd, std::size_t size) {
    std::string text(size, '\0');
    std::size_t done = 0;
    while (done < size) {
        const auto n = ::read(fd, text.data() + done, size - done);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
    }
    text.resize(done);
    return text;
}

inline void write_text(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto n = ::write(fd, text.data(), text.size());
        if (n <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

}  // namespace asyncvm::test
