/// A trace that was read from a file: tracks with what is on them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::timeline {

using Name = std::uint32_t;  ///< an index of Trace::names

struct Slice {
    std::uint64_t begin = 0;  ///< nanoseconds, as in the file
    std::uint64_t end = 0;
    std::uint64_t place = 0;  ///< the port or address of an access
    Name name = 0;
    std::uint16_t depth = 0;  ///< of the slices around it
    bool memory = false;      ///< the place is an address
    bool has_place = false;
};

struct Instant {
    std::uint64_t time = 0;
    Name name = 0;
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
    std::uint64_t lost = 0;    ///< events that the recorder has dropped
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

}  // namespace asyncvm::timeline
