/// Ctrl-A: what a person at the terminal says to the monitor instead of to the guest. Pure.
#pragma once

#include <cstddef>
#include <optional>

namespace asyncvm {

class Escape {
public:
    enum class Action { none, quit, help };

    static constexpr std::byte key{1};

    /// Takes one byte; gives what goes to the guest, if anything, and what is to be done.
    [[nodiscard]] std::optional<std::byte> take(std::byte byte, Action& action) {
        action = Action::none;
        if (!pending_) {
            pending_ = byte == key;
            return pending_ ? std::nullopt : std::optional(byte);
        }
        pending_ = false;
        switch (static_cast<char>(byte)) {
            case '\x01':
            case 'a':
                return key;
            case 'x':
                action = Action::quit;
                return std::nullopt;
            case 'c':
            case 'h':
            case '?':
                action = Action::help;
                return std::nullopt;
            default:
                return std::nullopt;
        }
    }

private:
    bool pending_ = false;
};

}  // namespace asyncvm
