/// A terminal in raw mode, and back on every way out.
#pragma once

#include <asyncvm/chardev.hpp>
#include <os/put_back.hpp>

#include <optional>

namespace asyncvm {

/// Puts a terminal into raw mode: each key reaches the guest at once, Ctrl-C included, and nothing is echoed; lines that are
/// printed still end as they should. The settings come back on every way out (PutBack). A background process leaves the
/// terminal alone.
class RawTerminal {
public:
    /// `fd` is a terminal, in the foreground, and stays open.
    explicit RawTerminal(int fd);

    /// Whether this process may use the terminal without being stopped by it.
    [[nodiscard]] static bool foreground(int fd) noexcept;

    /// 0 by 0 if `fd` is no terminal, or does not know.
    [[nodiscard]] static TerminalSize size(int fd) noexcept;

private:
    std::optional<PutBack> cooked_;
};

}  // namespace asyncvm
