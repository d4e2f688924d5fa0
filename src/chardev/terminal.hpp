/// A terminal in raw mode, and back on every way out.
#pragma once

namespace asyncvm {

/// Puts a terminal into raw mode: each key reaches the guest at once, Ctrl-C included, and nothing is echoed; lines that are
/// printed still end as they should. At most one object at a time in a process.
///
/// The settings come back with the destructor, at exit(), and in a signal that kills the process: SIGSEGV and its like
/// always, SIGTERM, SIGINT, SIGHUP and SIGQUIT where nobody else handles them. Such a signal then does what it would have
/// done. A background process leaves the terminal alone.
class RawTerminal {
public:
    /// `fd` is a terminal, in the foreground, and stays open.
    explicit RawTerminal(int fd);
    ~RawTerminal();
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

    /// Whether this process may use the terminal without being stopped by it.
    [[nodiscard]] static bool foreground(int fd) noexcept;
};

}  // namespace asyncvm
