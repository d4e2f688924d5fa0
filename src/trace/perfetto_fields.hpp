/// The numbers of Perfetto's fields that are used here, as google/perfetto publishes them in protos/perfetto/trace.
#pragma once

#include <cstdint>

namespace asyncvm::trace::perfetto {

inline constexpr unsigned trace_packet = 1;  // Trace

namespace packet {
inline constexpr unsigned clock_snapshot = 6;
inline constexpr unsigned timestamp = 8;
inline constexpr unsigned sequence_id = 10;
inline constexpr unsigned track_event = 11;
inline constexpr unsigned interned_data = 12;
inline constexpr unsigned sequence_flags = 13;
inline constexpr unsigned previous_packet_dropped = 42;
inline constexpr unsigned timestamp_clock_id = 58;
inline constexpr unsigned defaults = 59;
inline constexpr unsigned track_descriptor = 60;
}  // namespace packet

namespace flags {
inline constexpr std::uint64_t state_cleared = 1;
inline constexpr std::uint64_t needs_state = 2;
}  // namespace flags

namespace defaults {
inline constexpr unsigned track_event = 11;
inline constexpr unsigned timestamp_clock_id = 58;
}  // namespace defaults

namespace snapshot {
inline constexpr unsigned clock = 1;
inline constexpr unsigned clock_id = 1;
inline constexpr unsigned clock_timestamp = 2;
inline constexpr unsigned clock_is_incremental = 3;
}  // namespace snapshot

namespace clocks {
inline constexpr std::uint64_t realtime = 1;
inline constexpr std::uint64_t monotonic = 3;
inline constexpr std::uint64_t boottime = 6;  ///< Perfetto's own, to which it converts all others
inline constexpr std::uint64_t deltas = 64;   ///< of one sequence: a packet tells the time since the one before
}  // namespace clocks

namespace descriptor {
inline constexpr unsigned uuid = 1;
inline constexpr unsigned name = 2;
inline constexpr unsigned process = 3;
inline constexpr unsigned parent_uuid = 5;
inline constexpr unsigned counter = 8;
inline constexpr unsigned counter_unit = 3;
inline constexpr std::uint64_t unit_bytes = 3;
inline constexpr unsigned process_pid = 1;
inline constexpr unsigned process_name = 6;
}  // namespace descriptor

namespace event {
inline constexpr unsigned annotation = 4;
inline constexpr unsigned type = 9;
inline constexpr unsigned name_iid = 10;
inline constexpr unsigned track_uuid = 11;
inline constexpr unsigned name = 23;
inline constexpr unsigned counter_value = 30;
inline constexpr unsigned flow_ids = 47;              // fixed64
inline constexpr unsigned terminating_flow_ids = 48;  // fixed64
inline constexpr std::uint64_t slice_begin = 1;
inline constexpr std::uint64_t slice_end = 2;
inline constexpr std::uint64_t instant = 3;
inline constexpr std::uint64_t counter = 4;
}  // namespace event

namespace annotation {
inline constexpr unsigned name_iid = 1;
inline constexpr unsigned uint_value = 3;
inline constexpr unsigned string_value = 6;
inline constexpr unsigned pointer_value = 7;  ///< a number that is shown as hexadecimal
inline constexpr unsigned name = 10;
}  // namespace annotation

namespace interned {
inline constexpr unsigned event_name = 2;
inline constexpr unsigned annotation_name = 3;
inline constexpr unsigned iid = 1;
inline constexpr unsigned name = 2;
}  // namespace interned

}  // namespace asyncvm::trace::perfetto
