#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace program_test {

namespace {

std::vector<std::string> command(const std::string& serial, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--serial", serial});
    return asyncvm(std::move(arguments));
}

}  // namespace

SerialVm::SerialVm(const std::string& serial, std::vector<std::string> arguments)
    : Child(command(serial, std::move(arguments))) {}

std::string SerialVm::address(std::string_view label) {
    const auto words = std::string(label) + " listens on ";
    const auto line = wait_for_error_line(words);
    return line.substr(line.find(words) + words.size());
}

std::string SerialVm::port(std::string_view label) {
    const auto text = address(label);
    return text.substr(text.rfind(':') + 1);
}

void SerialVm::check_end(int code) {
    const auto& ended = wait();
    BOOST_TEST(!ended.killed);
    BOOST_TEST(ended.code == code, "it ended with " << ended.code << " and not " << code << ": " << ended.err);
}

Frozen::Frozen(const Child& child) : child_(child) {
    child.send_signal(SIGSTOP);
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WSTOPPED) != 0) {
        throw std::system_error(errno, std::generic_category(), "wait for a stopped child");
    }
}

Frozen::~Frozen() { child_.send_signal(SIGCONT); }

std::vector<std::string> printing_blocks(unsigned count) {
    return {"--reg", "rcx=" + std::to_string(count), guest_path("blocks")};
}

std::vector<std::string> blocks_on_request() { return {guest_path("blocks")}; }

}  // namespace program_test
