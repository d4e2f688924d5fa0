#include "net/passt.hpp"

#include "net/stream.hpp"
#include "os/spawn_settings.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace asyncvm {

namespace {

constexpr int passt_socket = 3;  ///< the descriptor in the new process

/// Ends the process with the object, and waits until the kernel has buried it.
class PasstProcess {
public:
    explicit PasstProcess(pid_t pid) noexcept : pid_(pid) {}
    PasstProcess(const PasstProcess&) = delete;
    PasstProcess& operator=(const PasstProcess&) = delete;
    ~PasstProcess() {
        (void)::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

private:
    pid_t pid_;
};

}  // namespace

std::vector<std::string> passt_arguments(const NetSpec& spec, int fd) {
    std::vector<std::string> words{"--foreground", "--quiet", "--fd", std::to_string(fd)};
    for (const auto& forward : spec.forwards) {
        const auto address = forward.host_address.empty() ? std::string() : forward.host_address + "/";
        words.emplace_back(forward.udp ? "--udp-ports" : "--tcp-ports");
        words.push_back(fmt::format("{}{}:{}", address, forward.host_port, forward.guest_port));
    }
    return words;
}

std::shared_ptr<NetBackend> open_passt(const NetSpec& spec, NetEnvironment environment) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        throw Error(ErrorKind::host, fmt::format("cannot make a socket for passt: {}", reason(errno)));
    }
    UniqueFd ours(pair[0]);
    const UniqueFd theirs(pair[1]);
    auto words = passt_arguments(spec, passt_socket);
    words.insert(words.begin(), "passt");
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    SpawnSettings settings;
    posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&settings.actions, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&settings.actions, theirs.get(), passt_socket);
    pid_t pid = -1;
    if (const int error = ::posix_spawnp(&pid, "passt", &settings.actions, &settings.attributes, arguments.data(), environ);
        error != 0) {
        throw Error(ErrorKind::host,
                    fmt::format("cannot start passt, which --net user needs: {} (Debian has it in the package passt)",
                                reason(error)));
    }
    environment.log(fmt::format("{}: passt, process {}, is the guest's network", environment.label, pid));
    auto backend = std::make_shared<StreamBackend>(std::move(ours), "user", std::move(environment),
                                                   std::make_shared<PasstProcess>(pid));
    backend->start();
    return backend;
}

}  // namespace asyncvm
