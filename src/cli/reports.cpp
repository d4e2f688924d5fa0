#include "cli/reports.hpp"

#include "cli/console.hpp"

#include <asyncvm/event.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::cli {

namespace {

using namespace std::chrono_literals;

/// What each vCPU has said about itself.
struct Reports {
    explicit Reports(unsigned cpus) : texts(cpus), missing(cpus) {}

    std::vector<std::string> texts;
    unsigned missing;
    Event changed;
};

awaitable<void> collect_report(Machine& machine, unsigned cpu, std::shared_ptr<Reports> reports) {
    auto text = co_await machine.report(cpu);
    reports->texts[cpu] = std::move(text);
    --reports->missing;
    reports->changed.notify();
}

}  // namespace

awaitable<bool> print_reports(Machine& machine, asio::io_context& loop) {
    const auto reports = std::make_shared<Reports>(machine.cpus());
    for (unsigned cpu = 0; cpu < machine.cpus(); ++cpu) {
        asio::co_spawn(loop, collect_report(machine, cpu, reports), [](const std::exception_ptr&) {});
    }
    const auto until = std::chrono::steady_clock::now() + 1s;
    for (;;) {
        const auto seen = reports->changed.generation();
        const auto now = std::chrono::steady_clock::now();
        if (reports->missing == 0 || now >= until) break;
        co_await reports->changed.wait(seen, until - now);
    }
    bool any = false;
    for (const auto& text : reports->texts) {
        if (text.empty()) continue;
        any = true;
        print_plain("asyncvm: " + text);
    }
    co_return any;
}

}  // namespace asyncvm::cli
