/// Perfetto's protobuf. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trace/events.hpp"
#include "trace/wire.hpp"

namespace asyncvm::trace {

/// Each source has a packet sequence of its own, with a table of names and a clock that counts from packet to packet: an
/// event takes 10 to 40 bytes.
class PerfettoFormat final : public Format {
public:
    using Format::Format;

    void begin(const Clocks& clocks, int pid, std::string_view process) override;
    void declare(Track track, Track parent, std::string_view name, TrackKind kind) override;
    void slice_begins(const Event& event) override;
    void slice_ends(const Event& event) override;
    void instant(const Event& event) override;
    void counter(const Event& event, std::uint64_t value) override;
    void gap(unsigned source) override;
    void end() override {}

private:
    struct Sequence {
        bool begun = false;
        bool lost = false;
        std::uint64_t last = 0;  ///< the time of the packet before
        Track usual = 0;         ///< the track of events that name none
        std::map<std::string, std::uint64_t, std::less<>> names;
        std::map<std::string_view, std::uint64_t> argument_names;
    };

    Sequence& sequence(const Event& event);
    void write(const Event& event, std::uint64_t type, std::uint64_t value = 0);
    [[nodiscard]] std::uint64_t uuid(Track track) const noexcept { return base_ + track; }

    std::uint64_t base_ = 0;  ///< of the tracks' UUIDs: traces of several machines can be joined
    std::vector<Sequence> sequences_;
    std::string interned_;  ///< what the next packet has to introduce
};

}  // namespace asyncvm::trace
