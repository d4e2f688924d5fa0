/// What both formats of a trace can tell: tracks with slices that nest, instants, counters, and flows between them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace asyncvm::trace {

/// A track's number. A format makes of it what it needs.
using Track = std::uint32_t;

namespace tracks {
inline constexpr Track process = 1;
inline constexpr Track machine = 2;
inline constexpr Track interrupts = 3;
inline constexpr Track device_loop = 4;
inline constexpr Track posted_writes = 5;
inline constexpr Track first_cpu = 0x100;
inline constexpr Track first_loop_device = 0x1'0000;  ///< and the number of its name
inline constexpr Track first_chardev = 0x10'0000;     ///< and four times the number of its name: four tracks each
inline constexpr Track first_disk = 0x20'0000;        ///< and the number of its name
}  // namespace tracks

/// Something to know of an event.
struct Argument {
    std::string_view name;  ///< a literal
    std::uint64_t value = 0;
    bool hexadecimal = false;  ///< is how people read it
    std::string_view text{};   ///< not empty: this in place of the value
};

/// Arrows from event to event. They have numbers above 0.
struct Flow {
    std::uint64_t begins = 0;
    std::uint64_t passes = 0;
    std::uint64_t ends = 0;
};

/// One event, on a track, at a time. Times of one source never go back.
struct Event {
    unsigned source = 0;     ///< whose records it comes from: each has a packet sequence of its own
    std::uint64_t time = 0;  ///< CLOCK_BOOTTIME, nanoseconds
    Track track = 0;
    std::string_view name{};  ///< of a counter: with its chardev's; not of the end of a slice
    std::span<const Argument> arguments{};
    Flow flow{};
};

/// A format. What it writes is whole after each call, so that a file which ends anywhere between two of them can be read.
class Format {
public:
    explicit Format(std::string& out) : out_(out) {}
    Format(const Format&) = delete;
    Format& operator=(const Format&) = delete;
    virtual ~Format() = default;

    /// The clocks at one moment.
    struct Clocks {
        std::uint64_t boottime = 0;
        std::uint64_t monotonic = 0;
        std::uint64_t realtime = 0;
    };
    /// Once, first. `process` is for people.
    virtual void begin(const Clocks& clocks, int pid, std::string_view process) = 0;
    enum class TrackKind : std::uint8_t { slices, bytes };
    /// Before the first event of a track. `parent`: a track that was declared before.
    virtual void declare(Track track, Track parent, std::string_view name, TrackKind kind) = 0;
    virtual void slice_begins(const Event& event) = 0;
    virtual void slice_ends(const Event& event) = 0;
    virtual void instant(const Event& event) = 0;
    virtual void counter(const Event& event, std::uint64_t value) = 0;
    /// Records of `source` are missing here.
    virtual void gap(unsigned /*source*/) {}
    /// Once, last.
    virtual void end() = 0;

protected:
    std::string& out() noexcept { return out_; }

private:
    std::string& out_;
};

}  // namespace asyncvm::trace
