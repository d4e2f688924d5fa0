#include "trace/perfetto_format.hpp"

#include <algorithm>

#include "trace/perfetto_fields.hpp"

namespace asyncvm::trace {

using wire::Writer;

namespace {

/// Sequence 1 introduces the tracks.
std::uint64_t sequence_id(unsigned source) { return source + 2; }

void write_clock(Writer& snapshot, std::uint64_t id, std::uint64_t time, bool deltas = false) {
    const Writer::Nested clock(snapshot, perfetto::snapshot::clock);
    snapshot.varint(perfetto::snapshot::clock_id, id);
    snapshot.varint(perfetto::snapshot::clock_timestamp, time);
    if (deltas) snapshot.varint(perfetto::snapshot::clock_is_incremental, 1);
}

/// The number of `name` in `table`; a new one is introduced in `interned`.
template <typename Table>
std::uint64_t number(Table& table, std::string_view name, unsigned field, std::string& interned) {
    const auto found = table.find(name);
    if (found != table.end()) return found->second;
    const std::uint64_t iid = table.size() + 1;
    table.emplace(name, iid);
    Writer data(interned);
    const Writer::Nested entry(data, field);
    data.varint(perfetto::interned::iid, iid);
    data.bytes(perfetto::interned::name, name);
    return iid;
}

}  // namespace

void PerfettoFormat::begin(const Clocks& clocks, int pid, std::string_view process) {
    base_ = static_cast<std::uint64_t>(pid) << 32;
    Writer trace(out());
    {
        const Writer::Nested packet(trace, perfetto::trace_packet);
        trace.varint(perfetto::packet::timestamp, clocks.boottime);
        trace.varint(perfetto::packet::timestamp_clock_id, perfetto::clocks::boottime);
        trace.varint(perfetto::packet::sequence_id, 1);
        const Writer::Nested snapshot(trace, perfetto::packet::clock_snapshot);
        write_clock(trace, perfetto::clocks::boottime, clocks.boottime);
        write_clock(trace, perfetto::clocks::monotonic, clocks.monotonic);
        write_clock(trace, perfetto::clocks::realtime, clocks.realtime);
    }
    const Writer::Nested packet(trace, perfetto::trace_packet);
    trace.varint(perfetto::packet::sequence_id, 1);
    const Writer::Nested descriptor(trace, perfetto::packet::track_descriptor);
    trace.varint(perfetto::descriptor::uuid, uuid(tracks::process));
    trace.bytes(perfetto::descriptor::name, process);
    const Writer::Nested of(trace, perfetto::descriptor::process);
    trace.varint(perfetto::descriptor::process_pid, static_cast<std::uint64_t>(pid));
    trace.bytes(perfetto::descriptor::process_name, process);
}

void PerfettoFormat::declare(Track track, Track parent, std::string_view name, TrackKind kind) {
    Writer trace(out());
    const Writer::Nested packet(trace, perfetto::trace_packet);
    trace.varint(perfetto::packet::sequence_id, 1);
    const Writer::Nested descriptor(trace, perfetto::packet::track_descriptor);
    trace.varint(perfetto::descriptor::uuid, uuid(track));
    trace.bytes(perfetto::descriptor::name, name);
    trace.varint(perfetto::descriptor::parent_uuid, uuid(parent));
    if (kind == TrackKind::slices) return;
    const Writer::Nested counter(trace, perfetto::descriptor::counter);
    trace.varint(perfetto::descriptor::counter_unit, perfetto::descriptor::unit_bytes);
}

void PerfettoFormat::slice_begins(const Event& event) { write(event, perfetto::event::slice_begin); }
void PerfettoFormat::slice_ends(const Event& event) { write(event, perfetto::event::slice_end); }
void PerfettoFormat::instant(const Event& event) { write(event, perfetto::event::instant); }
void PerfettoFormat::counter(const Event& event, std::uint64_t value) { write(event, perfetto::event::counter, value); }

/// What comes needs nothing of what was before.
void PerfettoFormat::gap(unsigned source) {
    if (source >= sequences_.size()) return;
    Sequence& sequence = sequences_[source];
    const bool begun = sequence.begun;
    sequence = Sequence();
    sequence.lost = begun;
}

PerfettoFormat::Sequence& PerfettoFormat::sequence(const Event& event) {
    if (sequences_.size() <= event.source) sequences_.resize(event.source + 1);
    Sequence& sequence = sequences_[event.source];
    if (sequence.begun) return sequence;
    sequence.begun = true;
    sequence.last = event.time;
    sequence.usual = event.track;
    Writer trace(out());
    const Writer::Nested packet(trace, perfetto::trace_packet);
    trace.varint(perfetto::packet::timestamp, event.time);
    trace.varint(perfetto::packet::timestamp_clock_id, perfetto::clocks::boottime);
    trace.varint(perfetto::packet::sequence_id, sequence_id(event.source));
    trace.varint(perfetto::packet::sequence_flags, perfetto::flags::state_cleared);
    if (sequence.lost) trace.varint(perfetto::packet::previous_packet_dropped, 1);
    {
        const Writer::Nested defaults(trace, perfetto::packet::defaults);
        trace.varint(perfetto::defaults::timestamp_clock_id, perfetto::clocks::deltas);
        const Writer::Nested of_events(trace, perfetto::defaults::track_event);
        trace.varint(perfetto::event::track_uuid, uuid(event.track));
    }
    const Writer::Nested snapshot(trace, perfetto::packet::clock_snapshot);
    write_clock(trace, perfetto::clocks::boottime, event.time);
    write_clock(trace, perfetto::clocks::deltas, event.time, true);
    return sequence;
}

void PerfettoFormat::write(const Event& event, std::uint64_t type, std::uint64_t value) {
    Sequence& of = sequence(event);
    interned_.clear();
    std::uint64_t name = 0;
    if (!event.name.empty() && type != perfetto::event::counter)
        name = number(of.names, event.name, perfetto::interned::event_name, interned_);
    for (const Argument& argument : event.arguments)
        number(of.argument_names, argument.name, perfetto::interned::annotation_name, interned_);
    const auto time = std::max(event.time, of.last);
    Writer trace(out());
    const Writer::Nested packet(trace, perfetto::trace_packet);
    trace.varint(perfetto::packet::timestamp, time - of.last);
    of.last = time;
    trace.varint(perfetto::packet::sequence_id, sequence_id(event.source));
    trace.varint(perfetto::packet::sequence_flags, perfetto::flags::needs_state);
    if (!interned_.empty()) trace.bytes(perfetto::packet::interned_data, interned_);
    const Writer::Nested of_packet(trace, perfetto::packet::track_event);
    trace.varint(perfetto::event::type, type);
    if (name != 0) trace.varint(perfetto::event::name_iid, name);
    if (event.track != of.usual) trace.varint(perfetto::event::track_uuid, uuid(event.track));
    if (type == perfetto::event::counter) trace.varint(perfetto::event::counter_value, value);
    for (const Argument& argument : event.arguments) {
        const Writer::Nested annotation(trace, perfetto::event::annotation);
        trace.varint(perfetto::annotation::name_iid, of.argument_names.find(argument.name)->second);
        if (!argument.text.empty()) {
            trace.bytes(perfetto::annotation::string_value, argument.text);
        } else {
            trace.varint(argument.hexadecimal ? perfetto::annotation::pointer_value : perfetto::annotation::uint_value,
                         argument.value);
        }
    }
    if (event.flow.passes != 0) trace.fixed64(perfetto::event::flow_ids, event.flow.passes);
    if (event.flow.begins != 0) trace.fixed64(perfetto::event::flow_ids, event.flow.begins);
    if (event.flow.ends != 0) trace.fixed64(perfetto::event::terminating_flow_ids, event.flow.ends);
}

}  // namespace asyncvm::trace
