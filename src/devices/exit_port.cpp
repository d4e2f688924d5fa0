#include "devices/exit_port.hpp"

#include <fmt/format.h>

#include <utility>

namespace asyncvm {

ExitPort::ExitPort(std::function<void(Outcome)> finish, ExitCoding coding) : finish_(std::move(finish)), coding_(coding) {}

awaitable<void> ExitPort::write(const Access& access) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::exited;
    outcome.guest_code = exit_code_of(access.data, coding_);
    outcome.summary = fmt::format("the guest wrote {} to the exit {} {:#x}: exit code {}", access.data,
                                  access.space == Space::port ? "port" : "address", access.address, outcome.guest_code);
    finish_(std::move(outcome));
    co_return;
}

awaitable<void> ExitPort::read(Access& access) {
    access.data = 0;
    co_return;
}

}  // namespace asyncvm
