#include <asyncvm/block.hpp>

#include "text/complaint.hpp"
#include "text/parse.hpp"
#include "text/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace asyncvm {
namespace {

constexpr std::array<std::string_view, 4> disk_options{"ro", "snapshot", "serial=", "cache="};
constexpr unsigned most_disk_queues = 8;

/// As a part of a URI.
std::string percent_encoded(std::string_view path) {
    constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    std::string encoded;
    for (const char c : path) {
        if (plain.find(c) != plain.npos) {
            encoded += c;
        } else {
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return encoded;
}

void parse_source(const Complaint& complain, std::string_view source, DiskSpec& spec) {
    constexpr std::array<std::string_view, 5> uris{"nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "nbd+vsock://"};
    constexpr std::string_view unix_socket = "nbd:unix:";
    constexpr std::string_view vhost_user = "vhost-user:";
    if (source.empty()) complain("it names no file (example: --disk disk.img)");
    if (source == "-") complain("a disk can't be the standard input (name a file)");
    spec.source = source;
    if (source.starts_with(vhost_user)) {
        spec.kind = DiskSpec::Kind::vhost_user;
        spec.source = source.substr(vhost_user.size());
        if (spec.source.empty())
            complain("vhost-user: needs the path of a socket (example: --disk vhost-user:/tmp/disk.sock)");
    } else if (std::ranges::any_of(uris, [source](std::string_view uri) { return source.starts_with(uri); })) {
        spec.kind = DiskSpec::Kind::nbd;
    } else if (source.starts_with(unix_socket)) {
        const auto path = source.substr(unix_socket.size());
        if (path.empty()) complain("nbd:unix: needs the path of a socket (example: --disk nbd:unix:/tmp/disk.sock)");
        spec.kind = DiskSpec::Kind::nbd;
        spec.source = fmt::format("nbd+unix:///?socket={}", percent_encoded(path));
    } else if (source.starts_with("nbd:")) {
        complain("an NBD server is nbd:unix:PATH, nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH");
    }
}

void parse_serial(const Complaint& complain, std::string_view serial, DiskSpec& spec) {
    if (serial.empty()) complain("serial= needs a text (example: serial=root)");
    if (serial.size() > longest_disk_serial) {
        complain("serial={} has {} characters, and a guest reads at most {}", serial, serial.size(), longest_disk_serial);
    }
    if (!std::ranges::all_of(serial, [](char c) { return c > ' ' && c < 0x7f; })) {
        complain("serial={} may have letters, digits and signs of ASCII only", serial);
    }
    spec.serial = serial;
}

void parse_flag(const Complaint& complain, std::string_view name, std::string_view word, bool& flag) {
    const auto value = word.substr(name.size());
    if (!value.empty() && value != "=on" && value != "=off") {
        complain("{} is neither {}=on nor {}=off", word, name, name);
    }
    flag = value != "=off";
}

/// All else is the back end's to say.
void parse_vhost_user_option(const Complaint& complain, std::string_view word, DiskSpec& spec) {
    if (!word.starts_with("queues=")) {
        complain("there is no option '{}' of a vhost-user disk but queues=: say it to the back end", word);
    }
    const auto queues = parse_number(word.substr(7));
    if (!queues || *queues < 1 || *queues > most_disk_queues) {
        complain("{} is not a number from 1 to {} (example: queues=2)", word, most_disk_queues);
    }
    spec.queues = static_cast<unsigned>(*queues);
}

void parse_disk_option(const Complaint& complain, std::string_view word, DiskSpec& spec) {
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    const auto value = equals == word.npos ? std::string_view{} : word.substr(equals + 1);
    if (name == "ro") {
        parse_flag(complain, name, word, spec.read_only);
    } else if (name == "snapshot") {
        parse_flag(complain, name, word, spec.snapshot);
    } else if (name == "serial") {
        parse_serial(complain, value, spec);
    } else if (name == "cache") {
        if (value != "writeback" && value != "none") {
            complain("{} is neither cache=writeback (the host's page cache) nor cache=none (past it)", word);
        }
        spec.direct = value == "none";
    } else if (word.empty()) {
        complain("an option is missing after a comma (a comma of the name is doubled)");
    } else {
        complain("there is no option {}{}", name, suggestion(name, disk_options));
    }
}

void refuse_direct_nbd(const Complaint& complain, const DiskSpec& spec) {
    if (spec.direct && spec.kind == DiskSpec::Kind::nbd) {
        complain("cache=none is for files: an NBD server has a cache of its own (say it to the server)");
    }
}

}  // namespace

DiskSpec parse_disk_spec(std::string_view text) {
    const Complaint complain(fmt::format("--disk {}", text));
    const auto words = split_at_commas(text);
    DiskSpec spec;
    parse_source(complain, words.front(), spec);
    const auto parse = spec.kind == DiskSpec::Kind::vhost_user ? parse_vhost_user_option : parse_disk_option;
    for (auto word = words.begin() + 1; word != words.end(); ++word) parse(complain, *word, spec);
    if (spec.read_only && spec.snapshot) complain("ro and snapshot are both given: a snapshot is there to be written");
    refuse_direct_nbd(complain, spec);
    return spec;
}

DiskSpec with_source(DiskSpec spec, std::string_view source) {
    const Complaint complain{std::string(source)};
    spec.kind = DiskSpec::Kind::file;
    parse_source(complain, source, spec);
    if (spec.kind == DiskSpec::Kind::vhost_user) complain("another process serves a vhost-user disk as a whole");
    refuse_direct_nbd(complain, spec);
    return spec;
}

}  // namespace asyncvm
