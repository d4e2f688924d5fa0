#include "remote/process.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "os/spawn_settings.hpp"
#include "text/errno_text.hpp"

namespace asyncvm::remote {

Process::Process(const std::string& command, UniqueFd& socket) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        throw Error(ErrorKind::host,
                    fmt::format("cannot make a socket for '{}': {} (raise the limit that `ulimit -n` shows)", command,
                                reason(errno)));
    }
    UniqueFd ours(pair[0]);
    const UniqueFd theirs(pair[1]);
    std::string shell = "sh";
    std::string option = "-c";
    std::string words = command;
    std::array<char*, 4> arguments{shell.data(), option.data(), words.data(), nullptr};
    SpawnSettings settings;
    posix_spawn_file_actions_adddup2(&settings.actions, theirs.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&settings.actions, theirs.get(), STDOUT_FILENO);
    // Also those that a library has opened without O_CLOEXEC.
    posix_spawn_file_actions_addclosefrom_np(&settings.actions, STDERR_FILENO + 1);
    const int error = ::posix_spawn(&pid_, "/bin/sh", &settings.actions, &settings.attributes, arguments.data(), environ);
    if (error != 0) {
        throw Error(ErrorKind::host, fmt::format("cannot start '{}': {}{}", command, reason(error),
                                                 error == EAGAIN ? " (raise the limit that `ulimit -u` shows)" : ""));
    }
    pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!pidfd_.valid()) {
        const int failure = errno;
        signal(SIGKILL);
        (void)::waitpid(pid_, nullptr, 0);
        throw Error(ErrorKind::host,
                    fmt::format("cannot watch '{}': {} (raise the limit that `ulimit -n` shows)", command, reason(failure)));
    }
    // Theirs blocks: it is the same socket as ours in nothing but its being connected to it.
    const int on = 1;
    (void)::ioctl(ours.get(), FIONBIO, &on);
    socket = std::move(ours);
}

Process::~Process() {
    if (status_) return;
    signal(SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

void Process::signal(int number) noexcept {
    if (!status_) (void)::kill(-pid_, number);
}

bool Process::ended() noexcept {
    if (status_) return true;
    siginfo_t info{};
    // Not buried yet: until then nobody else gets the group's number.
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != pid_)
        return false;
    signal(SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
    return true;
}

std::string Process::how() const {
    const int status = status_.value_or(0);
    if (WIFEXITED(status)) return fmt::format("exit code {}", WEXITSTATUS(status));
    const char* const name = ::sigabbrev_np(WTERMSIG(status));
    return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", WTERMSIG(status));
}

}  // namespace asyncvm::remote
