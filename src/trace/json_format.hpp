/// Chrome's trace event format: JSON. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "trace/events.hpp"

namespace asyncvm::trace {

/// An array of objects, one a line, whose closing bracket a reader may do without. Tracks are threads of one process; times
/// are microseconds with three decimal places.
class JsonFormat final : public Format {
public:
    using Format::Format;

    void begin(const Clocks& clocks, int pid, std::string_view process) override;
    void declare(Track track, Track parent, std::string_view name, TrackKind kind) override;
    void slice_begins(const Event& event) override;
    void slice_ends(const Event& event) override;
    void instant(const Event& event) override;
    void counter(const Event& event, std::uint64_t value) override;
    void end() override;

private:
    void open(const Event& event, char phase);
    void write_name(std::string_view name);
    void write_arguments(std::span<const Argument> arguments);
    void write_flows(const Event& event);
    void metadata(Track track, std::string_view what, std::string_view name);

    int pid_ = 0;
};

}  // namespace asyncvm::trace
