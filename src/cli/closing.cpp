#include "cli/closing.hpp"

#include "cli/console.hpp"

#include <asyncvm/statistics.hpp>

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace asyncvm::cli {

namespace {

/// " (0x64: 1000, 0x80: 1)": how often at each of the first addresses; nothing if there is none.
std::string unclaimed_places(const Bus& bus) {
    std::string text;
    std::uint64_t sum = 0;
    for (const auto& at : bus.unclaimed_addresses()) {
        text += fmt::format("{}{:#x}: {}", text.empty() ? " (" : ", ", at.address, at.reads + at.writes);
        sum += at.reads + at.writes;
    }
    if (text.empty()) return text;
    return text + (sum < bus.unclaimed() ? ", ...)" : ")");
}

}  // namespace

void print_outcome(const Outcome& outcome, Machine& machine, const Options& options, const Setup& setup) {
    const bool well = (outcome.kind == Outcome::Kind::halted && setup.on_halt != HaltPolicy::fail) ||
                      outcome.kind == Outcome::Kind::powered_off || outcome.kind == Outcome::Kind::exited;
    if (outcome.kind != Outcome::Kind::stopped && (!well || options.verbose)) {
        // The report begins with the summary.
        const bool both = outcome.report.starts_with(outcome.summary);
        if (!both || outcome.report.empty()) print(outcome.summary.empty() ? "the guest halted" : outcome.summary);
        if (!outcome.report.empty()) print_plain((both ? "asyncvm: " : "") + outcome.report);
        if (outcome.kind == Outcome::Kind::halted && !well && !options.on_halt) {
            print_plain(
                "hint: this is exit code 86, because a panic ends like it; if the guest is done, --on-halt exit makes it 0\n");
        }
    }
    if (options.verbose) {
        print(fmt::format("accesses that found no device: {} to ports{}, {} to memory{}", machine.ports().unclaimed(),
                          unclaimed_places(machine.ports()), machine.mmio().unclaimed(), unclaimed_places(machine.mmio())));
    }
}

void print_undelivered(const Streams& all_streams) {
    for (const auto& [label, spec, standard, chardev, reads] : all_streams.all()) {
        const auto bytes = chardev->undelivered();
        if (bytes == 0) continue;
        print(fmt::format("{}: {} {} not delivered", chardev->description(), bytes, bytes == 1 ? "byte was" : "bytes were"));
    }
}

StreamStatistics stream_statistics(const Streams::Stream& stream) {
    return {stream.label, stream.chardev->description(), stream.chardev->traffic()};
}

std::string statistics_text(const Machine& machine, const Streams& all_streams) {
    std::vector<StreamStatistics> streams;
    for (const auto& stream : all_streams.distinct()) streams.push_back(stream_statistics(stream));
    return format_statistics(machine.statistics(), streams);
}

std::string metrics_page(const Machine& machine, const Streams& all_streams, metrics::Format format) {
    std::vector<metrics::Stream> streams;
    for (const auto& stream : all_streams.distinct()) {
        streams.push_back({stream_statistics(stream), stream.chardev->connected()});
    }
    return metrics::exposition(machine.statistics(), streams, format);
}

void print_statistics(const Machine& machine, const Streams& all_streams) {
    print_plain("asyncvm: " + statistics_text(machine, all_streams));
}

}  // namespace asyncvm::cli
