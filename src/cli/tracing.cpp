#include "cli/tracing.hpp"

#include "cli/console.hpp"
#include "cli/wiring.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace asyncvm::cli {

namespace {

class ChardevObservers final : public Observer {
public:
    explicit ChardevObservers(std::vector<std::shared_ptr<Observer>> all) : all_(std::move(all)) {}

    void chardev(std::string_view label, ChardevEvent event) noexcept override {
        for (const auto& observer : all_) observer->chardev(label, event);
    }
    void chardev_moved(std::string_view label, Direction direction, std::size_t bytes) noexcept override {
        for (const auto& observer : all_) observer->chardev_moved(label, direction, bytes);
    }
    void chardev_full(std::string_view label, bool full) noexcept override {
        for (const auto& observer : all_) observer->chardev_full(label, full);
    }
    void chardev_changed(std::string_view label, std::string_view to) noexcept override {
        for (const auto& observer : all_) observer->chardev_changed(label, to);
    }

private:
    const std::vector<std::shared_ptr<Observer>> all_;
};

}  // namespace

std::shared_ptr<TraceRecorder> start_trace(const Options& options, const Setup& setup) {
    if (options.trace.empty()) return nullptr;
    {
        asio::io_context scratch(1);
        dry_run(options, setup, scratch);
    }
    return record_trace({.path = options.trace,
                         .format = trace_format_of(options.trace),
                         .cpus = options.cpus,
                         .process = fmt::format("asyncvm {}", options.guest),
                         .log = make_log()});
}

void end_trace(const std::shared_ptr<TraceRecorder>& recorder, const Options& options) {
    if (!recorder) return;
    const TraceEnd end = recorder->finish();
    if (end.lost > 0 && !end.failed) {
        print(fmt::format("{} of {} events are not in the trace {}: it could not be written as fast (the trace says where)",
                          end.lost, end.lost + end.records, options.trace));
    } else if (options.verbose && !end.failed) {
        print(fmt::format("the trace {} has {} events in {} bytes{}", options.trace, end.records, end.bytes,
                          trace_format_of(options.trace) == TraceFormat::perfetto
                              ? fmt::format(" (asyncvm trace {} tells more)", options.trace)
                              : ""));
    }
}

std::shared_ptr<Observer> chardev_observer(std::vector<std::shared_ptr<Observer>> observers) {
    std::erase(observers, nullptr);
    if (observers.empty()) return nullptr;
    if (observers.size() == 1) return observers.front();
    return std::make_shared<ChardevObservers>(std::move(observers));
}

}  // namespace asyncvm::cli
