/// From records to events: slices that nest, whatever was lost. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "trace/events.hpp"
#include "trace/record.hpp"

namespace asyncvm::trace {

/// Takes the records of several sources, those of each in their order, and tells a Format. One thread.
class Timeline {
public:
    static constexpr unsigned no_cpu = std::numeric_limits<unsigned>::max();

    /// Both must outlive the object.
    Timeline(Format& format, const Names& names) : format_(format), names_(names) {}
    Timeline(const Timeline&) = delete;
    Timeline& operator=(const Timeline&) = delete;

    /// A further source, whose records are those of vCPU `cpu`, and what else its thread does; or no_cpu. Returns its
    /// number, counted from 0.
    unsigned add_source(unsigned cpu);
    void take(unsigned source, std::span<const Record> records);
    /// No more will come: ends what is still open. `lost` records were dropped in all.
    void finish(std::uint64_t time, std::uint64_t lost);

private:
    /// How deep a vCPU's slices are nested.
    enum class Place : std::uint8_t { nowhere, guest, device, waiting };
    struct Source {
        unsigned cpu = no_cpu;
        Place place = Place::nowhere;
        std::uint64_t last = 0;  ///< the time of its last record
    };

    void take(unsigned source, const Record& record);
    void of_cpu(unsigned source, const Record& record);
    void of_machine(unsigned source, const Record& record);
    void of_chardev(unsigned source, const Record& record);
    void access_begins(unsigned source, const Record& record);
    void of_disk(unsigned source, const Record& record);
    void of_debugger(unsigned source, const Record& record);
    void interrupt(unsigned source, const Record& record);
    void posted(unsigned source, const Record& record);
    void lost(unsigned source, const Record& record);
    void leave(unsigned source, std::uint64_t time, Place until, std::span<const Argument> arguments = {});
    void begin_alone(unsigned source, std::uint64_t time, Track track, std::string_view name);
    void end_alone(unsigned source, std::uint64_t time, Track track);
    [[nodiscard]] Track cpu_track(unsigned source);
    /// "uart16550 write".
    [[nodiscard]] std::string_view access_name(const Record& record);
    Track known(Track track, std::string_view name, Track parent = tracks::process,
                Format::TrackKind kind = Format::TrackKind::slices);

    Format& format_;
    const Names& names_;
    std::vector<Source> sources_;
    std::unordered_map<std::uint32_t, std::string> access_names_;
    std::unordered_set<Track> declared_;
    std::unordered_set<Track> open_;  ///< tracks of begin_alone()
};

}  // namespace asyncvm::trace
