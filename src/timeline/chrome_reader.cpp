#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "timeline/trace.hpp"
#include "timeline/trace_builder.hpp"

namespace asyncvm::timeline {

namespace {

using Json = nlohmann::json;

/// Finds one object after the other in an array that may lack its end.
class Objects {
public:
    explicit Objects(std::string_view array) : rest_(array) {}

    /// Empty at the end.
    std::string_view next() {
        std::size_t begin = 0;
        unsigned depth = 0;
        bool quoted = false;
        for (std::size_t at = 0; at < rest_.size(); ++at) {
            const char c = rest_[at];
            if (quoted) {
                if (c == '\\') ++at;
                if (c == '"') quoted = false;
            } else if (c == '"') {
                quoted = true;
            } else if (c == '{' && depth++ == 0) {
                begin = at;
            } else if (c == '}' && depth > 0 && --depth == 0) {
                const auto object = rest_.substr(begin, at + 1 - begin);
                rest_.remove_prefix(at + 1);
                return object;
            } else if (c == ']' && depth == 0) {
                whole_ = true;
                break;
            }
        }
        rest_ = {};
        return {};
    }
    /// The array has its end.
    [[nodiscard]] bool whole() const noexcept { return whole_; }

private:
    std::string_view rest_;
    bool whole_ = false;
};

std::string text_of(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const Json& value) {
    if (value.is_number_unsigned()) return value.get<std::uint64_t>();
    return value.is_string() ? std::strtoull(value.get_ref<const std::string&>().c_str(), nullptr, 0) : 0;
}

/// Microseconds with a fraction, as nanoseconds.
std::optional<std::uint64_t> time_of(const Json& event, const char* name) {
    const auto found = event.find(name);
    if (found == event.end() || !found->is_number()) return std::nullopt;
    const double time = std::round(found->get<double>() * 1000);
    if (!(time >= 0 && time < 0x1p62)) return std::nullopt;
    return static_cast<std::uint64_t>(time);
}

class ChromeReader {
public:
    Trace read(std::string_view bytes) {
        if (bytes.starts_with('{')) bytes.remove_prefix(std::min(bytes.size(), bytes.find("\"traceEvents\"")));
        bytes.remove_prefix(std::min(bytes.size(), bytes.find('[')));
        Objects objects(bytes.substr(bytes.empty() ? 0 : 1));
        for (auto object = objects.next(); !object.empty(); object = objects.next()) {
            const auto event = Json::parse(object, nullptr, false);
            if (!event.is_object() || !take(event)) trace_.is_broken();
        }
        return trace_.finish(!objects.whole());
    }

private:
    bool take(const Json& object) {
        const auto phase = text_of(object, "ph");
        const auto name = text_of(object, "name");
        const auto thread = object.find("tid");
        const std::uint64_t uuid = thread == object.end() ? 0 : number_of(*thread);
        const auto found = object.find("args");
        const Json arguments = found != object.end() && found->is_object() ? *found : Json::object();
        if (phase == "M") {
            if (name == "process_name") trace_.set_process(text_of(arguments, "name"));
            if (name == "thread_name") trace_.describe(uuid, text_of(arguments, "name"), false);
            return true;
        }
        // Arrows are no events of their own.
        if (phase == "s" || phase == "t" || phase == "f") return true;
        const auto time = time_of(object, "ts");
        if (phase.size() != 1 || !time) return false;
        TraceBuilder::Event event;
        if (phase != "C") take_arguments(arguments, event);
        if (phase != "E" && phase != "C") event.name = trace_.name(name);
        switch (phase.front()) {
            case 'B':
                event.kind = TraceBuilder::Kind::slice_begins;
                break;
            case 'E':
                event.kind = TraceBuilder::Kind::slice_ends;
                break;
            case 'X':
                return take_complete(object, event, uuid, *time);
            case 'i':
                event.kind = TraceBuilder::Kind::instant;
                break;
            case 'C':
                event.kind = TraceBuilder::Kind::point;
                if (!arguments.empty()) event.value = number_of(*arguments.begin());
                trace_.describe(uuid, name, true);
                break;
            default:
                return false;
        }
        trace_.add(event, uuid, *time);
        return true;
    }

    static void take_arguments(const Json& arguments, TraceBuilder::Event& event) {
        for (const auto& [name, value] : arguments.items()) {
            take_argument(event, name, number_of(value));
            if (value.is_string()) take_argument(event, name, std::string_view(value.get_ref<const std::string&>()));
        }
    }

    /// One that has its end in itself. Without a length it is an instant that an arrow begins at.
    bool take_complete(const Json& object, TraceBuilder::Event event, std::uint64_t uuid, std::uint64_t time) {
        const auto length = time_of(object, "dur");
        if (!length) return false;
        event.kind = *length == 0 ? TraceBuilder::Kind::instant : TraceBuilder::Kind::slice_begins;
        trace_.add(event, uuid, time);
        if (*length > 0) trace_.add({.kind = TraceBuilder::Kind::slice_ends}, uuid, time + *length);
        return true;
    }

    TraceBuilder trace_;
};

}  // namespace

Trace read_chrome(std::string_view bytes) { return ChromeReader().read(bytes); }

bool is_chrome(std::string_view bytes) noexcept { return bytes.starts_with('[') || bytes.starts_with('{'); }

}  // namespace asyncvm::timeline
