/// A trace that was read from a file: tracks with what is on them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::timeline {

using Name = std::uint32_t;  ///< an index of Trace::names
inline constexpr Name no_name = ~Name{0};

struct Slice {
    std::uint64_t begin = 0;  ///< nanoseconds, as in the file
    std::uint64_t end = 0;
    std::uint64_t place = 0;    ///< the port or address of an access
    std::uint64_t missing = 0;  ///< events that are not recorded, in its place
    Name name = 0;
    std::uint16_t depth = 0;  ///< of the slices around it
    bool memory = false;      ///< the place is an address
    bool has_place = false;
};

struct Instant {
    std::uint64_t time = 0;
    Name name = 0;
    Name details = no_name;  ///< what else is known of it, for people: "bytes 512, image a.img"
};

/// Where the recorder could not keep up.
struct Gap {
    std::size_t track = 0;  ///< an index of Trace::tracks
    std::uint64_t begin = 0;
    std::uint64_t end = 0;  ///< of a thread that is no vCPU's: the begin
    std::uint64_t events = 0;
};

struct Point {
    std::uint64_t time = 0;
    std::uint64_t value = 0;
};

struct Track {
    std::uint64_t uuid = 0;
    std::string name;
    bool counter = false;
    std::vector<Slice> slices;  ///< in the order of their ends
    std::vector<Instant> instants;
    std::vector<Point> points;
};

struct Trace {
    std::string process;
    std::vector<std::string> names;
    std::vector<Track> tracks;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t events = 0;
    std::vector<Gap> gaps;
    std::uint64_t lost = 0;    ///< events that the recorder has dropped: its own sum, or that of `gaps` if it has none
    std::uint64_t broken = 0;  ///< packets and events that can't be understood
    bool cut = false;          ///< the last packet is not whole
};

/// Reads Perfetto's protobuf, as far as asyncvm writes it: of other traces what is alike. Never fails: of bytes that are no
/// trace there are no events. Takes up to five times the memory of `bytes`. Slices that have no end get that of the trace.
[[nodiscard]] Trace read_perfetto(std::string_view bytes);
/// The same for Chrome's trace event format, JSON: an array, with or without its end, or an object that has one as
/// `traceEvents`.
[[nodiscard]] Trace read_chrome(std::string_view bytes);
/// Whether it begins as JSON does: then it is no protobuf of a trace.
[[nodiscard]] bool is_chrome(std::string_view bytes) noexcept;

/// vCPUs have tracks of such names.
[[nodiscard]] bool is_cpu(const Track& track) noexcept;

/// Whether what happens on it is rare enough for people to read each of its instants' names.
[[nodiscard]] bool is_calm(const Track& track) noexcept;

/// "another image: bytes 512, image a.img"
[[nodiscard]] std::string text_of(const Trace& trace, const Instant& instant);

}  // namespace asyncvm::timeline
