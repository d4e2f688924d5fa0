#include "socket/address.hpp"
#include "text/complaint.hpp"
#include "text/parse.hpp"

#include <asyncvm/net.hpp>

#include <fmt/format.h>
#include <net/if.h>

#include <charconv>
#include <utility>

namespace asyncvm {

namespace {

using Kind = NetSpec::Kind;

constexpr std::string_view net_kinds =
    "stream:unix:PATH, stream:tcp:[HOST:]PORT, dgram:unix:PATH,remote=PATH, vhost-user:PATH, tap or user; for example user";

void parse_stream(const Complaint& complain, std::string_view address, NetSpec& spec) {
    if (address.starts_with("unix:")) {
        spec.kind = Kind::stream_unix;
        spec.path = address.substr(5);
        if (spec.path.empty()) complain("the path is missing (for example stream:unix:/tmp/net.sock)");
        return;
    }
    if (!address.starts_with("tcp:")) complain("stream goes to unix:PATH or tcp:[HOST:]PORT");
    spec.kind = Kind::stream_tcp;
    HostPort where;
    if (const auto problem = parse_host_port(address.substr(4), where); !problem.empty()) complain("{}", problem);
    spec.host = std::move(where.host);
    spec.port = where.port;
}

void parse_net_head(const Complaint& complain, std::string_view head, NetSpec& spec) {
    const auto colon = head.find(':');
    const auto scheme = head.substr(0, colon);
    const auto rest = colon == head.npos ? std::string_view{} : head.substr(colon + 1);
    if (scheme == "stream") {
        parse_stream(complain, rest, spec);
    } else if (scheme == "dgram") {
        spec.kind = Kind::dgram_unix;
        if (!rest.starts_with("unix:") || rest.size() == 5) {
            complain("dgram goes from a path to a path (for example dgram:unix:/tmp/a,remote=/tmp/b)");
        }
        spec.path = rest.substr(5);
    } else if (scheme == "vhost-user") {
        spec.kind = Kind::vhost_user;
        spec.path = rest;
        if (rest.empty()) complain("the path of the back end's socket is missing (for example vhost-user:/tmp/net.sock)");
    } else if (head == "tap") {
        spec.kind = Kind::tap;
    } else if (head.starts_with("tap=")) {
        spec.kind = Kind::tap;
        spec.path = head.substr(4);
        if (spec.path.empty() || spec.path.size() >= IFNAMSIZ || spec.path.find('/') != spec.path.npos) {
            complain("an interface's name has 1 to {} letters (for example tap=tap0)", IFNAMSIZ - 1);
        }
    } else if (head == "user") {
        spec.kind = Kind::user;
    } else {
        complain("unknown; one of {}", net_kinds);
    }
}

MacAddress parse_mac(const Complaint& complain, std::string_view text) {
    constexpr std::size_t length = 17;
    const auto fail = [&] {
        complain("mac={} is no Ethernet address (six pairs of hexadecimal digits; for example mac=52:54:00:12:34:56)", text);
    };
    if (text.size() != length) fail();
    MacAddress mac{};
    for (std::size_t i = 0; i < mac.size(); ++i) {
        const char* const pair = text.data() + 3 * i;
        const auto [end, error] = std::from_chars(pair, pair + 2, mac[i], 16);
        if (error != std::errc() || end != pair + 2 || (i + 1 < mac.size() && *end != ':')) fail();
    }
    if ((mac[0] & 1) != 0)
        complain("mac={} is the address of a group: the lowest bit of the first pair is 0 in a card's", text);
    return mac;
}

std::uint16_t parse_mtu(const Complaint& complain, std::string_view value) {
    constexpr std::uint64_t most = 65535;
    const auto mtu = parse_number(value);
    if (!mtu || *mtu < least_mtu || *mtu > most) {
        complain("mtu={} is not a number of bytes from {} to {} (for example mtu=9000)", value, least_mtu, most);
    }
    return static_cast<std::uint16_t>(*mtu);
}

std::uint16_t parse_forward_port(const Complaint& complain, std::string_view text, std::string_view value) {
    const auto number = parse_number(text);
    if (!number || *number < 1 || *number > 65535) {
        complain("hostfwd={}: port {} is not a number from 1 to 65535 (for example hostfwd=tcp::2222-:22)", value, text);
    }
    return static_cast<std::uint16_t>(*number);
}

/// tcp:[HOSTADDRESS]:HOSTPORT-[GUESTADDRESS]:GUESTPORT, as QEMU has it. passt gives the guest its address.
NetSpec::Forward parse_forward(const Complaint& complain, std::string_view value) {
    const auto malformed = [&] {
        complain("hostfwd={}: it is tcp:[ADDRESS]:HOSTPORT-:GUESTPORT, or udp: (for example hostfwd=tcp::2222-:22)", value);
    };
    NetSpec::Forward forward;
    if (!value.starts_with("tcp:") && !value.starts_with("udp:")) malformed();
    forward.udp = value.starts_with("udp:");
    const auto dash = value.rfind('-');
    if (dash == value.npos || dash < 4) malformed();
    const auto host = value.substr(4, dash - 4);
    const auto guest = value.substr(dash + 1);
    const auto host_colon = host.rfind(':');
    const auto guest_colon = guest.rfind(':');
    if (host_colon == host.npos || guest_colon == guest.npos) malformed();
    if (guest_colon != 0) {
        complain("hostfwd={}: the guest has one address, which is not named here (for example hostfwd=tcp::2222-:22)",
                 value);
    }
    forward.host_address = host.substr(0, host_colon);
    if (forward.host_address.find_first_not_of("0123456789abcdefABCDEF.:") != forward.host_address.npos) malformed();
    forward.host_port = parse_forward_port(complain, host.substr(host_colon + 1), value);
    forward.guest_port = parse_forward_port(complain, guest.substr(1), value);
    return forward;
}

std::chrono::milliseconds parse_pause(const Complaint& complain, std::string_view value) {
    constexpr std::uint64_t most = 86400;
    const auto seconds = parse_number(value);
    if (!seconds || *seconds < 1 || *seconds > most) {
        complain("reconnect={} is not a number of seconds from 1 to {} (for example reconnect=5)", value, most);
    }
    return std::chrono::seconds(*seconds);
}

std::string_view options_of(Kind kind) {
    switch (kind) {
        case Kind::stream_unix:
        case Kind::stream_tcp:
            return "server, reconnect=, mac=, mtu=";
        case Kind::dgram_unix:
            return "remote=, mac=, mtu=";
        case Kind::tap:
        case Kind::vhost_user:
            return "mac=, mtu=";
        case Kind::user:
            return "hostfwd=, mac=, mtu=";
    }
    return {};
}

void parse_net_option(const Complaint& complain, std::string_view word, NetSpec& spec) {
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    const auto value = equals == word.npos ? std::string_view{} : word.substr(equals + 1);
    const bool stream = spec.kind == Kind::stream_unix || spec.kind == Kind::stream_tcp;
    if (name == "mac") {
        spec.mac = parse_mac(complain, value);
    } else if (name == "mtu") {
        spec.mtu = parse_mtu(complain, value);
    } else if (stream && (word == "server" || word == "server=on" || word == "server=off")) {
        spec.server = word != "server=off";
    } else if (stream && name == "reconnect") {
        spec.reconnect = parse_pause(complain, value);
    } else if (spec.kind == Kind::dgram_unix && name == "remote") {
        spec.remote = value;
    } else if (spec.kind == Kind::user && name == "hostfwd") {
        spec.forwards.push_back(parse_forward(complain, value));
    } else {
        complain("there is no option '{}'; there are {}", word, options_of(spec.kind));
    }
}

}  // namespace

MacAddress default_mac(unsigned index) noexcept {
    const std::uint32_t number = 0x123456 + index;
    return {0x52,
            0x54,
            0x00,
            static_cast<std::uint8_t>(number >> 16),
            static_cast<std::uint8_t>(number >> 8),
            static_cast<std::uint8_t>(number)};
}

NetSpec parse_net_spec(std::string_view text) {
    const Complaint complain(fmt::format("'{}'", text));
    const auto words = split_at_commas(text);
    if (words.front().empty()) complain("empty; one of {}", net_kinds);
    NetSpec spec;
    parse_net_head(complain, words.front(), spec);
    bool reconnects = false;
    for (auto word = words.begin() + 1; word != words.end(); ++word) {
        if (word->empty()) complain("an option is missing after a comma; there are {}", options_of(spec.kind));
        parse_net_option(complain, *word, spec);
        reconnects = reconnects || word->starts_with("reconnect=");
    }
    if (reconnects && spec.server) complain("reconnect= is for a client (drop it, or server)");
    if (spec.kind == Kind::dgram_unix && spec.remote.empty()) {
        complain("remote= is missing: where the other side receives (for example dgram:unix:/tmp/a,remote=/tmp/b)");
    }
    if (spec.kind == Kind::stream_tcp && !spec.server && spec.port == 0) {
        complain("port 0 is for a server; a client needs its server's port (for example stream:tcp:localhost:4444)");
    }
    return spec;
}

}  // namespace asyncvm
