#include <chardev/terminal.hpp>

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <cerrno>

namespace asyncvm {
namespace {

struct Cooked {
    int fd;
    termios settings;
};

/// Async-signal-safe.
void restore(const Cooked& cooked) noexcept {
    // In the background the terminal is another's, and tcsetattr would stop this process. Now: a terminal that Ctrl-S has
    // stopped never has its output sent.
    if (RawTerminal::foreground(cooked.fd)) (void)tcsetattr(cooked.fd, TCSANOW, &cooked.settings);
}

}  // namespace

RawTerminal::RawTerminal(int fd) {
    Cooked cooked{.fd = fd, .settings = {}};
    if (tcgetattr(fd, &cooked.settings) != 0) return;
    auto raw = cooked.settings;
    cfmakeraw(&raw);
    raw.c_oflag = cooked.settings.c_oflag;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    cooked_.emplace(&restore, cooked);
    (void)tcsetattr(fd, TCSADRAIN, &raw);
}

bool RawTerminal::foreground(int fd) noexcept {
    const auto group = tcgetpgrp(fd);
    // A terminal that does not control this connection sends it no signals.
    return group < 0 ? errno == ENOTTY : group == getpgrp();
}

TerminalSize RawTerminal::size(int fd) noexcept {
    winsize window{};
    if (::ioctl(fd, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {};
    return {.columns = window.ws_col, .rows = window.ws_row};
}

}  // namespace asyncvm
