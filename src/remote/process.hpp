/// A program that this one starts, and that is a device.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "os/unique_fd.hpp"

namespace asyncvm::remote {

/// In a process group of its own, with our socket as its standard input and output, and without any other descriptor of ours
/// but the standard error. It ends with the object at the latest.
class Process {
public:
    /// `sh -c COMMAND`; `socket` gets our side, which does not block. Throws Error(host).
    Process(const std::string& command, UniqueFd& socket);
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    /// Kills the group, if it has not ended, and waits for that.
    ~Process();

    /// Ready to be read when the program has ended.
    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// To the whole group.
    void signal(int number) noexcept;
    /// Whether the program has ended. What it has left of its group is killed then.
    [[nodiscard]] bool ended() noexcept;
    /// After ended(): "exit code 3", "SIGKILL".
    [[nodiscard]] std::string how() const;

private:
    pid_t pid_ = -1;
    UniqueFd pidfd_;
    std::optional<int> status_;
};

}  // namespace asyncvm::remote
