/// Makes a Trace of what a reader finds in a file, whatever that is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "timeline/trace.hpp"

namespace asyncvm::timeline {

/// Slices nest, no track or name is there twice, and there is an end to the number of both. Pure.
class TraceBuilder {
public:
    enum class Kind : std::uint8_t { slice_begins, slice_ends, instant, point };

    /// What is known of an event but its track and its time.
    struct Event {
        Kind kind = Kind::instant;
        std::optional<Name> name{};  ///< of a slice that begins, and of an instant
        std::uint64_t value = 0;   ///< of a point
        std::uint64_t place = 0;   ///< of an access
        bool memory = false;
        bool has_place = false;
        std::uint64_t lost = 0;     ///< the recorder's own count of what is missing
        std::uint64_t missing = 0;  ///< of that, in the place of this event
        std::string details{};      ///< of an instant
    };

    TraceBuilder();

    void set_process(std::string_view name);
    void describe(std::uint64_t uuid, std::string_view name, bool counter);
    [[nodiscard]] Name name(std::string_view text);
    /// `time` is in nanoseconds.
    void add(const Event& event, std::uint64_t uuid, std::uint64_t time);
    void is_broken() noexcept { ++trace_.broken; }
    /// Once, last. `cut`: the file ends within an event.
    [[nodiscard]] Trace finish(bool cut);

private:
    void close(std::uint64_t uuid, std::uint64_t time);
    void add_gap(const Track& of, std::uint64_t begin, std::uint64_t end, std::uint64_t events);
    /// Null if there are too many.
    [[nodiscard]] Track* track(std::uint64_t uuid);

    Trace trace_;
    std::unordered_map<std::uint64_t, std::size_t> tracks_;
    std::unordered_map<std::uint64_t, std::vector<Slice>> open_;
    std::unordered_map<std::string, Name> names_;
    std::uint64_t told_lost_ = 0;
};

/// Takes an argument of an event if it is one that a Trace keeps: where an access went, what was lost, what people want to
/// know of an instant.
void take_argument(TraceBuilder::Event& event, std::string_view name, std::uint64_t value);
void take_argument(TraceBuilder::Event& event, std::string_view name, std::string_view text);

}  // namespace asyncvm::timeline
