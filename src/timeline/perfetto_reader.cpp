#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>

#include "timeline/trace.hpp"
#include "trace/perfetto_fields.hpp"
#include "trace/wire.hpp"

namespace asyncvm::timeline {

namespace {

namespace perfetto = trace::perfetto;
using trace::wire::Field;
using trace::wire::Reader;
using trace::wire::Type;

constexpr std::size_t most_tracks = 4096;
constexpr std::size_t most_sequences = 4096;
constexpr std::size_t most_names = 1 << 20;
constexpr std::size_t deepest = 64;
constexpr std::uint64_t latest = std::uint64_t{1} << 62;  // nanoseconds: 146 years

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
        trace_.begin = std::numeric_limits<std::uint64_t>::max();
        Reader file(bytes);
        while (const auto field = file.next()) {
            if (field->number == perfetto::trace_packet && field->type == Type::bytes) {
                packet(field->bytes);
            } else {
                ++trace_.broken;
            }
        }
        trace_.cut = !file.rest().empty();
        for (auto& [uuid, open] : open_) {
            while (!open.empty()) close(uuid, trace_.end);
        }
        if (trace_.events == 0) trace_.begin = trace_.end;
        return std::move(trace_);
    }

private:
    struct Event {
        std::uint64_t type = 0;
        std::optional<std::uint64_t> track;
        std::optional<Name> name;
        std::uint64_t value = 0;
        Slice slice;
        std::uint64_t lost = 0;
    };

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
            ++trace_.broken;
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
        Track described;
        bool process = false;
        each_field(bytes, [&](const Field& field) {
            if (field.number == perfetto::descriptor::uuid) described.uuid = field.value;
            if (field.number == perfetto::descriptor::name) described.name = field.bytes;
            if (field.number == perfetto::descriptor::counter) described.counter = true;
            if (field.number == perfetto::descriptor::process) process = true;
        });
        if (process && trace_.process.empty()) trace_.process = described.name;
        if (Track* const known = track(described.uuid)) {
            known->name = described.name;
            known->counter = described.counter;
        }
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
            if (deltas && sequence.times.size() < deepest) sequence.times[id] = time;
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
            if (entry.number == perfetto::interned::event_name) sequence.names[iid] = name_of(name);
            if (entry.number == perfetto::interned::annotation_name) sequence.argument_names[iid] = name;
        });
    }

    Name name_of(std::string_view text) {
        const auto found = names_.find(std::string(text));
        if (found != names_.end()) return found->second;
        if (trace_.names.size() >= most_names) return 0;
        trace_.names.emplace_back(text);
        const auto name = static_cast<Name>(trace_.names.size() - 1);
        names_.emplace(text, name);
        return name;
    }

    void take(std::string_view bytes, const Sequence& sequence, std::uint64_t time) {
        Event event;
        each_field(bytes, [&](const Field& field) {
            switch (field.number) {
                case perfetto::event::type:
                    event.type = field.value;
                    break;
                case perfetto::event::track_uuid:
                    event.track = field.value;
                    break;
                case perfetto::event::counter_value:
                    event.value = field.value;
                    break;
                case perfetto::event::name_iid:
                    if (const auto name = sequence.names.find(field.value); name != sequence.names.end())
                        event.name = name->second;
                    break;
                case perfetto::event::name:
                    event.name = name_of(field.bytes);
                    break;
                case perfetto::event::annotation:
                    annotate(field.bytes, sequence, event);
                    break;
                default:
                    break;
            }
        });
        place(event, event.track.value_or(sequence.track), time);
    }

    static void annotate(std::string_view bytes, const Sequence& sequence, Event& event) {
        std::string_view name;
        std::uint64_t value = 0;
        each_field(bytes, [&](const Field& field) {
            if (field.number == perfetto::annotation::name) name = field.bytes;
            if (field.number == perfetto::annotation::uint_value || field.number == perfetto::annotation::pointer_value)
                value = field.value;
            if (field.number == perfetto::annotation::name_iid) {
                const auto known = sequence.argument_names.find(field.value);
                if (known != sequence.argument_names.end()) name = known->second;
            }
        });
        if (name == "port" || name == "address") {
            event.slice.place = value;
            event.slice.memory = name == "address";
            event.slice.has_place = true;
        }
        if (name == "lost records") event.lost = value;
    }

    void place(const Event& event, std::uint64_t uuid, std::uint64_t time) {
        Track* const of = track(uuid);
        if (of == nullptr || time > latest) {
            ++trace_.broken;
            return;
        }
        auto& open = open_[uuid];
        if (event.type == perfetto::event::slice_begin && event.name && open.size() < deepest) {
            Slice slice = event.slice;
            slice.begin = time;
            slice.name = *event.name;
            slice.depth = static_cast<std::uint16_t>(open.size());
            open.push_back(slice);
        } else if (event.type == perfetto::event::slice_end && !open.empty()) {
            close(uuid, time);
        } else if (event.type == perfetto::event::instant && event.name) {
            of->instants.push_back({time, *event.name});
        } else if (event.type == perfetto::event::counter) {
            of->points.push_back({time, event.value});
        } else {
            ++trace_.broken;
            return;
        }
        trace_.lost += event.lost;
        ++trace_.events;
        trace_.begin = std::min(trace_.begin, time);
        trace_.end = std::max(trace_.end, time);
    }

    void close(std::uint64_t uuid, std::uint64_t time) {
        auto& open = open_[uuid];
        open.back().end = std::max(open.back().begin, time);
        track(uuid)->slices.push_back(open.back());
        open.pop_back();
    }

    /// Null if there are too many.
    Track* track(std::uint64_t uuid) {
        const auto found = tracks_.find(uuid);
        if (found != tracks_.end()) return &trace_.tracks[found->second];
        if (trace_.tracks.size() >= most_tracks) return nullptr;
        tracks_.emplace(uuid, trace_.tracks.size());
        Track& track = trace_.tracks.emplace_back();
        track.uuid = uuid;
        return &track;
    }

    Trace trace_;
    std::unordered_map<std::uint64_t, Sequence> sequences_;
    std::unordered_map<std::uint64_t, std::size_t> tracks_;
    std::unordered_map<std::uint64_t, std::vector<Slice>> open_;
    std::unordered_map<std::string, Name> names_;
};

}  // namespace

Trace read_perfetto(std::string_view bytes) { return PerfettoReader().read(bytes); }

bool is_cpu(const Track& track) noexcept { return track.name.starts_with("vCPU "); }

}  // namespace asyncvm::timeline
