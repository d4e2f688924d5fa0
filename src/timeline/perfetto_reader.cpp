#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "timeline/trace.hpp"
#include "timeline/trace_builder.hpp"
#include "trace/perfetto_fields.hpp"
#include "trace/wire.hpp"

namespace asyncvm::timeline {

namespace {

namespace perfetto = trace::perfetto;
using trace::wire::Field;
using trace::wire::Reader;
using trace::wire::Type;

constexpr std::size_t most_sequences = 4096;
constexpr std::size_t most_clocks = 64;

template <typename Take>
void each_field(std::string_view message, Take take) {
    Reader reader(message);
    while (const auto field = reader.next()) take(*field);
}

struct Sequence {
    std::uint64_t clock = 0;
    std::uint64_t track = 0;
    std::map<std::uint64_t, std::uint64_t> times;  ///< of clocks that count from packet to packet
    std::unordered_map<std::uint64_t, Name> names;
    std::unordered_map<std::uint64_t, std::string> argument_names;
};

class PerfettoReader {
public:
    Trace read(std::string_view bytes) {
        Reader file(bytes);
        while (const auto field = file.next()) {
            if (field->number == perfetto::trace_packet && field->type == Type::bytes) {
                packet(field->bytes);
            } else {
                trace_.is_broken();
            }
        }
        return trace_.finish(!file.rest().empty());
    }

private:
    void packet(std::string_view bytes) {
        std::uint64_t time = 0;
        std::optional<std::uint64_t> clock;
        std::uint64_t number = 0;
        std::uint64_t flags = 0;
        std::string_view event;
        std::string_view interned;
        std::string_view defaults;
        std::string_view snapshot;
        each_field(bytes, [&](const Field& field) {
            switch (field.number) {
                case perfetto::packet::timestamp:
                    time = field.value;
                    break;
                case perfetto::packet::timestamp_clock_id:
                    clock = field.value;
                    break;
                case perfetto::packet::sequence_id:
                    number = field.value;
                    break;
                case perfetto::packet::sequence_flags:
                    flags = field.value;
                    break;
                case perfetto::packet::track_event:
                    event = field.bytes;
                    break;
                case perfetto::packet::interned_data:
                    interned = field.bytes;
                    break;
                case perfetto::packet::defaults:
                    defaults = field.bytes;
                    break;
                case perfetto::packet::clock_snapshot:
                    snapshot = field.bytes;
                    break;
                case perfetto::packet::track_descriptor:
                    describe(field.bytes);
                    break;
                default:
                    break;
            }
        });
        if (sequences_.size() >= most_sequences && !sequences_.contains(number)) {
            trace_.is_broken();
            return;
        }
        Sequence& sequence = sequences_[number];
        if ((flags & perfetto::flags::state_cleared) != 0) sequence = Sequence();
        read_defaults(defaults, sequence);
        read_clocks(snapshot, sequence);
        read_names(interned, sequence);
        if (event.data() == nullptr) return;
        const auto counted = sequence.times.find(clock.value_or(sequence.clock));
        if (counted != sequence.times.end()) time = counted->second += time;
        take(event, sequence, time);
    }

    void describe(std::string_view bytes) {
        std::uint64_t uuid = 0;
        std::string_view name;
        bool counter = false;
        bool process = false;
        each_field(bytes, [&](const Field& field) {
            if (field.number == perfetto::descriptor::uuid) uuid = field.value;
            if (field.number == perfetto::descriptor::name) name = field.bytes;
            if (field.number == perfetto::descriptor::counter) counter = true;
            if (field.number == perfetto::descriptor::process) process = true;
        });
        if (process) trace_.set_process(name);
        trace_.describe(uuid, name, counter);
    }

    static void read_defaults(std::string_view bytes, Sequence& sequence) {
        each_field(bytes, [&](const Field& field) {
            if (field.number == perfetto::defaults::timestamp_clock_id) sequence.clock = field.value;
            if (field.number == perfetto::defaults::track_event) {
                each_field(field.bytes, [&](const Field& of_event) {
                    if (of_event.number == perfetto::event::track_uuid) sequence.track = of_event.value;
                });
            }
        });
    }

    static void read_clocks(std::string_view bytes, Sequence& sequence) {
        each_field(bytes, [&](const Field& clock) {
            if (clock.number != perfetto::snapshot::clock) return;
            std::uint64_t id = 0;
            std::uint64_t time = 0;
            bool deltas = false;
            each_field(clock.bytes, [&](const Field& field) {
                if (field.number == perfetto::snapshot::clock_id) id = field.value;
                if (field.number == perfetto::snapshot::clock_timestamp) time = field.value;
                if (field.number == perfetto::snapshot::clock_is_incremental) deltas = field.value != 0;
            });
            if (deltas && sequence.times.size() < most_clocks) sequence.times[id] = time;
        });
    }

    void read_names(std::string_view bytes, Sequence& sequence) {
        each_field(bytes, [&](const Field& entry) {
            std::uint64_t iid = 0;
            std::string_view name;
            each_field(entry.bytes, [&](const Field& field) {
                if (field.number == perfetto::interned::iid) iid = field.value;
                if (field.number == perfetto::interned::name) name = field.bytes;
            });
            if (entry.number == perfetto::interned::event_name) sequence.names[iid] = trace_.name(name);
            if (entry.number == perfetto::interned::annotation_name) sequence.argument_names[iid] = name;
        });
    }

    void take(std::string_view bytes, const Sequence& sequence, std::uint64_t time) {
        TraceBuilder::Event event;
        std::optional<TraceBuilder::Kind> kind;
        std::uint64_t track = sequence.track;
        each_field(bytes, [&](const Field& field) {
            switch (field.number) {
                case perfetto::event::type:
                    kind = kind_of(field.value);
                    break;
                case perfetto::event::track_uuid:
                    track = field.value;
                    break;
                case perfetto::event::counter_value:
                    event.value = field.value;
                    break;
                case perfetto::event::name_iid:
                    if (const auto name = sequence.names.find(field.value); name != sequence.names.end())
                        event.name = name->second;
                    break;
                case perfetto::event::name:
                    event.name = trace_.name(field.bytes);
                    break;
                case perfetto::event::annotation:
                    annotate(field.bytes, sequence, event);
                    break;
                default:
                    break;
            }
        });
        if (!kind) return trace_.is_broken();
        event.kind = *kind;
        trace_.add(event, track, time);
    }

    static std::optional<TraceBuilder::Kind> kind_of(std::uint64_t type) {
        switch (type) {
            case perfetto::event::slice_begin:
                return TraceBuilder::Kind::slice_begins;
            case perfetto::event::slice_end:
                return TraceBuilder::Kind::slice_ends;
            case perfetto::event::instant:
                return TraceBuilder::Kind::instant;
            case perfetto::event::counter:
                return TraceBuilder::Kind::point;
            default:
                return std::nullopt;
        }
    }

    static void annotate(std::string_view bytes, const Sequence& sequence, TraceBuilder::Event& event) {
        std::string_view name;
        std::uint64_t value = 0;
        std::string_view text;
        each_field(bytes, [&](const Field& field) {
            if (field.number == perfetto::annotation::string_value) text = field.bytes;
            if (field.number == perfetto::annotation::name) name = field.bytes;
            if (field.number == perfetto::annotation::uint_value || field.number == perfetto::annotation::pointer_value)
                value = field.value;
            if (field.number == perfetto::annotation::name_iid) {
                const auto known = sequence.argument_names.find(field.value);
                if (known != sequence.argument_names.end()) name = known->second;
            }
        });
        if (text.data() == nullptr)
            take_argument(event, name, value);
        else
            take_argument(event, name, text);
    }

    TraceBuilder trace_;
    std::unordered_map<std::uint64_t, Sequence> sequences_;
};

}  // namespace

Trace read_perfetto(std::string_view bytes) { return PerfettoReader().read(bytes); }

}  // namespace asyncvm::timeline
