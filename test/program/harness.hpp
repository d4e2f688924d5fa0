/// The real program as a child process, for tests: its terminal or pipes, signals to it, what it printed, how it ended.
/// Everything runs on the test's own thread. Limits of time are safety nets only: no test waits for time to pass.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace program_test {

/// How long a test waits for something that should happen at once. Generous: machines that run tests are often busy. Seconds
/// in the environment variable TEST_PATIENCE, or 30.
extern const std::chrono::seconds patience;

/// The program under test, from the environment variable ASYNCVM. Throws if it is not set.
[[nodiscard]] std::string asyncvm_path();

/// The image of a guest that the build has made, in the directory that the environment variable GUESTS names.
[[nodiscard]] std::string guest_path(std::string_view name);

/// The folder with the sources of the guests, from the environment variable GUEST_SOURCES.
[[nodiscard]] std::string guest_sources();

/// Why /dev/kvm can't be used here; empty if it can.
[[nodiscard]] std::string why_no_kvm();

/// As a global fixture (BOOST_TEST_GLOBAL_FIXTURE): ends the test program with 77, which Meson shows as skipped, where there
/// is no usable /dev/kvm.
struct NeedsKvm {
    NeedsKvm();
};

/// A fresh directory, removed with all that is in it.
class TemporaryDirectory {
public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    [[nodiscard]] std::string file(std::string_view name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

[[nodiscard]] std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view content);

/// How a child ended, and all that it has printed.
struct Ended {
    int code = -1;        ///< its exit code, or 128 plus the number of the signal that killed it
    bool killed = false;  ///< by a signal
    std::string out;
    std::string err;
};

enum class Console {
    pipes,     ///< standard input, output and error are three pipes
    terminal,  ///< input and output are one pseudo-terminal, the child's controlling one; error is a pipe
};

/// A running child process. All functions that wait throw std::runtime_error with what was printed so far when `patience`
/// has passed, or as soon as the child has ended without what is being waited for.
class Child {
public:
    /// `command` starts with the program: a path, or a name that is looked for in PATH.
    explicit Child(std::vector<std::string> command, Console console = Console::pipes);
    /// Kills the child if it still runs.
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// Into the child's standard input, as a person types where it is a terminal.
    void type(std::string_view text);
    /// Closes the pipe to the child's standard input; a terminal is hung up.
    void end_input();
    /// Closes this side of the child's standard output: the child's next write there fails.
    void close_output();

    /// Wait until `text` has been printed, and return everything printed there so far.
    const std::string& wait_for_output(std::string_view text);
    const std::string& wait_for_error(std::string_view text);

    /// Waits until the standard error has a line with `text`, and returns that line without its newline.
    std::string wait_for_error_line(std::string_view text);

    /// Waits until `condition` holds, looking again each time that the child prints, and every few milliseconds.
    void wait_until(std::string_view what, const std::function<bool()>& condition);

    void send_signal(int number) const;

    /// Waits for the end, and returns what there is to know. As long as it prints, a busy host may take its time.
    const Ended& wait();

    [[nodiscard]] const std::string& out() const noexcept { return ended_.out; }
    [[nodiscard]] const std::string& err() const noexcept { return ended_.err; }

    /// Whether the child's terminal hands every key over at once, as it is, instead of whole lines.
    [[nodiscard]] bool terminal_is_raw() const;
    /// Whether the terminal is as it was before the child started: its settings, and the flags of the file description that
    /// the child shares with whoever started it. Also when the child has ended.
    [[nodiscard]] bool terminal_is_untouched() const;

private:
    bool pump(std::chrono::milliseconds limit);
    void collect(int& fd, std::string& to);
    void reap();
    [[noreturn]] void give_up(std::string_view what) const;
    const std::string& wait_for(const std::string& stream, std::string_view text);

    std::vector<std::string> command_;
    pid_t pid_ = -1;
    int pid_fd_ = -1;
    int input_ = -1;   ///< the pipe's end; -1 for a terminal
    int output_ = -1;  ///< the pipe's end, or the terminal's master side
    int error_ = -1;
    int terminal_ = -1;   ///< the terminal's slave side
    termios settings_{};  ///< of the terminal, before the child started
    int flags_ = 0;
    bool reaped_ = false;
    Ended ended_;
};

/// The program under test with these arguments.
[[nodiscard]] std::vector<std::string> asyncvm(std::vector<std::string> arguments);

/// `command` with more options for what sanitizers do at the end of a program: "report_thread_leaks=0".
[[nodiscard]] std::vector<std::string> with_sanitizer_options(std::string_view options, std::vector<std::string> command);

/// Runs it to its end.
[[nodiscard]] Ended run_asyncvm(std::vector<std::string> arguments, std::string_view input = {});

}  // namespace program_test
