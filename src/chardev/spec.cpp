#include "socket/address.hpp"
#include "text/complaint.hpp"
#include "text/parse.hpp"

#include <fmt/format.h>
#include <asyncvm/open_chardev.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace asyncvm {
namespace {

using Kind = ChardevSpec::Kind;

constexpr std::string_view kinds =
    "tcp:[HOST:]PORT, telnet:[HOST:]PORT, unix:PATH, file:PATH, pty, stdio or null; for example tcp:4444";

std::uint64_t parse_size(const Complaint& complain, std::string_view name, std::string_view value, std::uint64_t least) {
    constexpr std::uint64_t most = std::uint64_t{1} << 40;
    auto digits = value;
    const unsigned shift = take_unit(digits);
    const auto size = parse_number(digits);
    if (!size) {
        complain("{}={} is not a size (a number of bytes, or one with K, M or G; for example {}=64K)", name, value, name);
    }
    if (*size > (most >> shift) || (*size << shift) < least) {
        complain("{}={} is out of range ({} to 1024G bytes; for example {}=64K)", name, value, least, name);
    }
    return *size << shift;
}

std::uint16_t parse_extent(const Complaint& complain, std::string_view name, std::string_view value) {
    constexpr std::uint64_t most = 65535;
    const auto extent = parse_number(value);
    if (!extent || *extent < 1 || *extent > most) {
        complain("{}={} is not a number from 1 to {} (for example {}=80)", name, value, most, name);
    }
    return static_cast<std::uint16_t>(*extent);
}

/// Without from_chars for floating point, which brings the mathematical library along to each start of the program.
std::chrono::milliseconds parse_seconds(const Complaint& complain, std::string_view name, std::string_view value) {
    constexpr std::uint64_t most = 1'000'000'000;
    const auto point = std::min(value.find('.'), value.size());
    const auto whole = value.substr(0, point);
    const auto fraction = value.substr(std::min(point + 1, value.size()));
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto seconds = whole.empty() ? std::optional<std::uint64_t>(0) : parse_number(whole);
    if (whole.size() + fraction.size() == 0 || !std::ranges::all_of(whole, is_digit) ||
        !std::ranges::all_of(fraction, is_digit) || !seconds || *seconds > most) {
        complain("{}={} is not a time (seconds, 0 or more, fractions allowed; for example {}=0.5)", name, value, name);
    }
    std::uint64_t milliseconds = 0;
    for (std::size_t digit = 0; digit < 3; ++digit) {
        milliseconds = 10 * milliseconds + (digit < fraction.size() ? static_cast<std::uint64_t>(fraction[digit] - '0') : 0);
    }
    // Rounded up: only 0 itself means "not at all".
    if (fraction.find_first_not_of('0', 3) != std::string_view::npos) ++milliseconds;
    return std::chrono::seconds(*seconds) + std::chrono::milliseconds(milliseconds);
}

void parse_address(const Complaint& complain, std::string_view address, ChardevSpec& spec) {
    HostPort where;
    if (const auto problem = parse_host_port(address, where); !problem.empty()) complain("{}", problem);
    spec.host = std::move(where.host);
    spec.port = where.port;
}

void parse_head(const Complaint& complain, std::string_view head, ChardevSpec& spec) {
    const auto colon = head.find(':');
    const auto scheme = head.substr(0, colon);
    const auto rest = colon == head.npos ? std::string_view{} : head.substr(colon + 1);
    const auto nothing_after = [&](Kind kind) {
        if (colon != head.npos)
            complain("{} takes nothing after it but options (for example {},log=out.txt)", scheme, scheme);
        spec.kind = kind;
    };
    const auto path_after = [&](Kind kind) {
        if (rest.empty())
            complain("{}: needs a path (for example {}:/tmp/guest.{})", scheme, scheme, scheme == "unix" ? "sock" : "txt");
        spec.kind = kind;
        spec.path = rest;
    };
    if (scheme == "tcp" || scheme == "telnet") {
        spec.kind = Kind::tcp;
        spec.telnet = scheme == "telnet";
        parse_address(complain, rest, spec);
    } else if (scheme == "unix") {
        path_after(Kind::unix_socket);
    } else if (scheme == "file") {
        path_after(Kind::file);
    } else if (scheme == "pty") {
        nothing_after(Kind::pty);
    } else if (scheme == "stdio") {
        nothing_after(Kind::stdio);
    } else if (scheme == "null" || scheme == "none" || scheme == "off") {
        nothing_after(Kind::null);
    } else {
        complain("unknown; one of {}", kinds);
    }
}

constexpr unsigned bit(Kind kind) { return 1U << static_cast<unsigned>(kind); }
constexpr unsigned sockets = bit(Kind::tcp) | bit(Kind::unix_socket);
constexpr unsigned queued = sockets | bit(Kind::pty) | bit(Kind::stdio) | bit(Kind::file);

enum class Takes { flag, value };

/// One option: its name, the kinds that know it, and what it does. Negative spellings set the opposite.
struct Option {
    std::string_view name;
    unsigned kinds;
    Takes takes;
    void (*set)(const Complaint&, ChardevSpec&, std::string_view name, std::string_view value, bool on);
    bool shown = true;  ///< in the list of valid options; QEMU's habits are understood without being shown
};

constexpr Option options[] = {
    {"client", sockets, Takes::flag, [](auto&, ChardevSpec& s, auto, auto, bool on) { s.client = on; }},
    {"wait", sockets | bit(Kind::pty), Takes::flag, [](auto&, ChardevSpec& s, auto, auto, bool on) { s.wait = on; }},
    {"link", bit(Kind::pty), Takes::value,
     [](auto& c, ChardevSpec& s, auto, auto value, bool) {
         if (value.empty()) c("link= needs a path (for example link=/tmp/guest.tty)");
         s.path = value;
     }},
    {"telnet", bit(Kind::tcp), Takes::flag, [](auto&, ChardevSpec& s, auto, auto, bool on) { s.telnet = on; }},
    {"backlog", queued, Takes::value,
     [](auto& c, ChardevSpec& s, auto name, auto value, bool) { s.backlog = parse_size(c, name, value, 1); }},
    {"full", queued, Takes::value,
     [](auto& c, ChardevSpec& s, auto, auto value, bool) {
         if (value != "wait" && value != "drop") c("full={} is neither full=wait nor full=drop", value);
         s.full = value == "drop" ? ChardevSpec::Full::drop : ChardevSpec::Full::wait;
     }},
    {"log", queued | bit(Kind::null), Takes::value,
     [](auto& c, ChardevSpec& s, auto, auto value, bool) {
         if (value.empty()) c("log= needs a file (for example log=out.txt)");
         s.log = value;
     }},
    {"append", queued | bit(Kind::null), Takes::flag, [](auto&, ChardevSpec& s, auto, auto, bool on) { s.append = on; }},
    {"history", sockets, Takes::value,
     [](auto& c, ChardevSpec& s, auto name, auto value, bool) { s.history = parse_size(c, name, value, 0); }},
    {"linger", queued, Takes::value,
     [](auto& c, ChardevSpec& s, auto name, auto value, bool) { s.linger = parse_seconds(c, name, value); }},
    {"reconnect", sockets, Takes::value,
     [](auto& c, ChardevSpec& s, auto name, auto value, bool) {
         s.reconnect = parse_seconds(c, name, value);
         if (s.reconnect.count() == 0) c("reconnect=0 would never rest; give a time (for example reconnect=1)");
     }},
    {"cols", queued, Takes::value,
     [](auto& c, ChardevSpec& s, auto name, auto value, bool) { s.size.columns = parse_extent(c, name, value); }},
    {"rows", queued, Takes::value,
     [](auto& c, ChardevSpec& s, auto name, auto value, bool) { s.size.rows = parse_extent(c, name, value); }},
    {"server", sockets, Takes::flag, [](auto&, ChardevSpec& s, auto, auto, bool on) { s.client = !on; }, false},
    {"nowait", sockets | bit(Kind::pty), Takes::flag, [](auto&, ChardevSpec& s, auto, auto, bool on) { s.wait = !on; },
     false},
    // TCP_NODELAY is always set: a queue of our own makes packets of fair size.
    {"nodelay", bit(Kind::tcp), Takes::flag, [](auto&, ChardevSpec&, auto, auto, bool) {}, false},
};

std::string valid_options(Kind kind) {
    std::string list;
    for (const auto& option : options) {
        if (!option.shown || (option.kinds & bit(kind)) == 0) continue;
        if (!list.empty()) list += ", ";
        list += option.name;
        if (option.takes == Takes::value) list += "=";
    }
    return list;
}

void parse_option(const Complaint& complain, std::string_view word, std::string_view scheme, ChardevSpec& spec) {
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    const auto value = equals == word.npos ? std::string_view{} : word.substr(equals + 1);
    for (const auto& option : options) {
        if (option.name != name || (option.kinds & bit(spec.kind)) == 0) continue;
        bool on = true;
        if (option.takes == Takes::value) {
            if (equals == word.npos) complain("{} needs a value ({}=...)", name, name);
        } else if (equals != word.npos) {
            if (value != "on" && value != "off") complain("{}={} is neither {}=on nor {}=off", name, value, name, name);
            on = value == "on";
        }
        option.set(complain, spec, name, value, on);
        return;
    }
    complain("{} has no option '{}'; it has {}", scheme, name, valid_options(spec.kind));
}

}  // namespace

ChardevSpec parse_chardev_spec(std::string_view text) {
    const Complaint complain(fmt::format("'{}'", text));
    const auto words = split_at_commas(text);
    const std::string_view head = words.front();
    if (head.empty()) complain("empty; one of {}", kinds);
    ChardevSpec spec;
    parse_head(complain, head, spec);
    const auto scheme = head.substr(0, head.find(':'));
    bool reconnects = false;
    for (auto word = words.begin() + 1; word != words.end(); ++word) {
        if (word->empty()) complain("an option is missing after a comma; {} has {}", scheme, valid_options(spec.kind));
        parse_option(complain, *word, scheme, spec);
        reconnects = reconnects || word->starts_with("reconnect=");
    }
    if (reconnects && !spec.client)
        complain("reconnect= is for a client (for example tcp:localhost:4444,client,reconnect=5)");
    if ((spec.size.columns == 0) != (spec.size.rows == 0))
        complain("cols= and rows= belong together (for example cols=80,rows=25)");
    if (spec.append && spec.kind != Kind::file && spec.log.empty()) {
        complain("append is for a file; here that would be the copy (for example {},log=out.txt,append)", head);
    }
    if (spec.client && spec.kind == Kind::tcp && spec.port == 0) {
        complain("port 0 is for listening; a client needs the port of its server (for example tcp:localhost:4444,client)");
    }
    return spec;
}

}  // namespace asyncvm
