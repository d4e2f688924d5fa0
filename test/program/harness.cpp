#include "harness.hpp"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace program_test {

const std::chrono::seconds patience = [] {
    const char* const text = std::getenv("TEST_PATIENCE");
    return std::chrono::seconds(text != nullptr ? std::atol(text) : 30);
}();

namespace {

std::string from_environment(const char* name) {
    const char* const value = std::getenv(name);
    if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set: run this through meson test");
    return value;
}

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

void close_fd(int& fd) noexcept {
    if (fd >= 0) ::close(fd);
    fd = -1;
}

/// What is left of the patience. Each look takes a second at most: a machine that was stopped in between, as a virtual machine
/// may be, has not waited.
class Patience {
public:
    [[nodiscard]] bool is_over() {
        const auto now = Clock::now();
        left_ -= std::min<Clock::duration>(now - std::exchange(looked_, now), std::chrono::seconds(1));
        return left_ <= Clock::duration::zero();
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point looked_ = Clock::now();
    Clock::duration left_ = patience;
};

std::string first_line(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// A line for each thread: its name, its state, what it has used of processors, where in the kernel it sleeps.
std::string threads_of(pid_t process) {
    std::string text;
    std::error_code gone;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
        const auto status = first_line(thread.path() / "stat");
        const auto state = status.find(") ");
        text += "\n  " + first_line(thread.path() / "comm") + ": " +
                (state != std::string::npos ? status.substr(state + 2, 1) : "?") + ", " +
                first_line(thread.path() / "schedstat") + " (ns run, ns waited, turns), " + first_line(thread.path() / "wchan");
    }
    return text;
}

struct Pipe {
    int read_end = -1;
    int write_end = -1;
};

Pipe make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
    return {ends[0], ends[1]};
}

termios settings_of(int terminal) {
    termios settings{};
    if (::tcgetattr(terminal, &settings) != 0) fail("tcgetattr");
    return settings;
}

/// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char* const* arguments, int input, int output, int error, bool terminal) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::signal(SIGPIPE, SIG_DFL);
    // Ignored if the tests were started with nohup, and the program keeps to that.
    std::signal(SIGHUP, SIG_DFL);
    if (terminal) {
        ::setsid();
        ::ioctl(input, TIOCSCTTY, 0);
    }
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(error, STDERR_FILENO);
    ::execvp(arguments[0], arguments);
    ::_exit(127);
}

}  // namespace

std::string asyncvm_path() { return from_environment("ASYNCVM"); }

std::string guest_path(std::string_view name) {
    const std::string path = from_environment("GUESTS") + '/' + std::string(name);
    return std::filesystem::exists(path + ".elf") ? path + ".elf" : path + ".bin";
}

std::string guest_sources() { return from_environment("GUEST_SOURCES"); }

std::string why_no_kvm() {
    const int fd = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) return std::strerror(errno);
    const int version = ::ioctl(fd, KVM_GET_API_VERSION, 0);
    ::close(fd);
    return version == KVM_API_VERSION ? "" : "it does not speak version 12 of the KVM API";
}

NeedsKvm::NeedsKvm() {
    const auto reason = why_no_kvm();
    if (reason.empty()) return;
    std::printf("SKIP: no usable /dev/kvm: %s\n", reason.c_str());
    std::fflush(stdout);
    std::_Exit(77);
}

TemporaryDirectory::TemporaryDirectory() {
    auto name = (std::filesystem::temp_directory_path() / "asyncvm-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail("mkdtemp");
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, std::string_view content) {
    std::ofstream file(path, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Child::Child(std::vector<std::string> command, Console console) : command_(std::move(command)) {
    // A child that has ended must not end the test by SIGPIPE.
    std::signal(SIGPIPE, SIG_IGN);
    std::vector<char*> arguments;
    for (auto& argument : command_) arguments.push_back(argument.data());
    arguments.push_back(nullptr);

    const bool terminal = console == Console::terminal;
    Pipe in, out;
    const Pipe err = make_pipe();
    if (terminal) {
        if (::openpty(&out.read_end, &out.write_end, nullptr, nullptr, nullptr) != 0) fail("openpty");
        ::fcntl(out.read_end, F_SETFD, FD_CLOEXEC);
        ::fcntl(out.write_end, F_SETFD, FD_CLOEXEC);
        in.read_end = out.write_end;
        settings_ = settings_of(out.write_end);
        flags_ = ::fcntl(out.write_end, F_GETFL);
    } else {
        in = make_pipe();
        out = make_pipe();
    }
    pid_ = ::fork();
    if (pid_ < 0) fail("fork");
    if (pid_ == 0) become(arguments.data(), in.read_end, out.write_end, err.write_end, terminal);
    pid_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (pid_fd_ < 0) fail("pidfd_open");

    input_ = in.write_end;
    output_ = out.read_end;
    error_ = err.read_end;
    if (terminal) {
        terminal_ = out.write_end;
    } else {
        ::close(in.read_end);
        ::close(out.write_end);
    }
    ::close(err.write_end);
    for (const int fd : {output_, error_}) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

Child::~Child() {
    if (!reaped_) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    for (int* const fd : {&pid_fd_, &input_, &output_, &error_, &terminal_}) close_fd(*fd);
}

void Child::type(std::string_view text) {
    const int fd = terminal_ >= 0 ? output_ : input_;
    Patience left;
    while (!text.empty()) {
        const auto n = ::write(fd, text.data(), text.size());
        if (n > 0) {
            text.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN || errno == EINTR) {
            pump(std::chrono::milliseconds(1));
            if (left.is_over()) give_up("the child to take its input");
        } else {
            fail("write to the child");
        }
    }
}

void Child::end_input() {
    if (terminal_ >= 0) {
        close_fd(terminal_);
        close_fd(output_);
    } else {
        close_fd(input_);
    }
}

void Child::close_output() { close_fd(output_); }

void Child::collect(int& fd, std::string& to) {
    char buffer[65536];
    while (fd >= 0) {
        const auto n = ::read(fd, buffer, sizeof buffer);
        if (n > 0) {
            to.append(buffer, static_cast<std::size_t>(n));
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            // A terminal's master side fails with EIO when nobody has the other side open.
            if (n == 0 || errno != EAGAIN) close_fd(fd);
            return;
        }
    }
}

void Child::reap() {
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) fail("waitpid");
    reaped_ = true;
    ended_.killed = WIFSIGNALED(status);
    ended_.code = ended_.killed ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// Reads what there is, waiting for it no longer than `limit`. Returns false once the child has ended and all is read.
bool Child::pump(std::chrono::milliseconds limit) {
    if (reaped_) return false;
    pollfd fds[] = {{output_, POLLIN, 0}, {error_, POLLIN, 0}, {pid_fd_, POLLIN, 0}};
    if (::poll(fds, std::size(fds), static_cast<int>(limit.count())) < 0 && errno != EINTR) fail("poll");
    // Ended first: what it printed before that is all there now.
    if ((fds[2].revents & POLLIN) != 0) reap();
    collect(output_, ended_.out);
    collect(error_, ended_.err);
    return !reaped_;
}

void Child::give_up(std::string_view what) const {
    std::string message = "waited in vain for " + std::string(what) + " from";
    for (const auto& word : command_) message += ' ' + word;
    message += reaped_ ? "\nwhich ended with " + std::to_string(ended_.code) : "\nwhich still runs" + threads_of(pid_);
    message += "\nstandard output:\n" + ended_.out + "\nstandard error:\n" + ended_.err;
    throw std::runtime_error(message);
}

void Child::wait_until(std::string_view what, const std::function<bool()>& condition) {
    Patience left;
    while (!condition()) {
        const bool running = pump(std::chrono::milliseconds(5));
        if (!running && !condition()) give_up(what);
        if (left.is_over()) give_up(what);
    }
}

const std::string& Child::wait_for(const std::string& stream, std::string_view text) {
    wait_until(text, [&] { return stream.find(text) != std::string::npos; });
    return stream;
}

const std::string& Child::wait_for_output(std::string_view text) { return wait_for(ended_.out, text); }

const std::string& Child::wait_for_error(std::string_view text) { return wait_for(ended_.err, text); }

std::string Child::wait_for_error_line(std::string_view text) {
    std::string line;
    wait_until(text, [&] {
        const auto found = ended_.err.find(text);
        if (found == std::string::npos) return false;
        const auto end = ended_.err.find('\n', found);
        if (end == std::string::npos) return false;
        const auto newline = ended_.err.rfind('\n', found);
        const auto start = newline == std::string::npos ? 0 : newline + 1;
        line = ended_.err.substr(start, end - start);
        return true;
    });
    return line;
}

void Child::send_signal(int number) const {
    if (::syscall(SYS_pidfd_send_signal, pid_fd_, number, nullptr, 0) != 0) fail("send a signal to the child");
}

const Ended& Child::wait() {
    Patience left;
    for (std::size_t before = 0; pump(std::chrono::milliseconds(100));) {
        const auto printed = ended_.out.size() + ended_.err.size();
        if (std::exchange(before, printed) != printed) left = Patience();
        if (left.is_over()) give_up("the end");
    }
    return ended_;
}

bool Child::terminal_is_raw() const { return (settings_of(terminal_).c_lflag & ICANON) == 0; }

bool Child::terminal_is_untouched() const {
    const auto now = settings_of(terminal_);
    return now.c_iflag == settings_.c_iflag && now.c_oflag == settings_.c_oflag && now.c_cflag == settings_.c_cflag &&
           now.c_lflag == settings_.c_lflag && std::ranges::equal(now.c_cc, settings_.c_cc) &&
           ::fcntl(terminal_, F_GETFL) == flags_;
}

std::vector<std::string> asyncvm(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), asyncvm_path());
    return arguments;
}

std::vector<std::string> with_sanitizer_options(std::string_view options, std::vector<std::string> command) {
    std::vector<std::string> all{"env"};
    for (const char* const name : {"ASAN_OPTIONS", "TSAN_OPTIONS"}) {
        const char* const present = std::getenv(name);
        all.push_back(std::string(name) + '=' + (present != nullptr ? present : "") + ':' + std::string(options));
    }
    all.insert(all.end(), command.begin(), command.end());
    return all;
}

Ended run_asyncvm(std::vector<std::string> arguments, std::string_view input) {
    Child child(asyncvm(std::move(arguments)));
    if (!input.empty()) child.type(input);
    child.end_input();
    return child.wait();
}

}  // namespace program_test
