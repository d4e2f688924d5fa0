#include "control/chardev_backend.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

namespace asyncvm::control {

namespace {

using Kind = ChardevSpec::Kind;

constexpr std::array<std::string_view, 5> backends{"file", "null", "pty", "socket", "stdio"};

/// An object of the command, which knows its place for messages, and which of its members have been looked at.
class Members {
public:
    Members(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

    /// Null: there is none of that name.
    [[nodiscard]] const Json* find(std::string_view name) {
        known_.emplace_back(name);
        const auto found = object_.find(name);
        return found == object_.end() ? nullptr : &*found;
    }
    [[nodiscard]] std::optional<std::string> text(std::string_view name) {
        const auto* const value = find(name);
        if (value == nullptr) return std::nullopt;
        if (!value->is_string()) wrong_type(name, "string");
        return value->get<std::string>();
    }
    [[nodiscard]] std::optional<bool> flag(std::string_view name) {
        const auto* const value = find(name);
        if (value == nullptr) return std::nullopt;
        if (!value->is_boolean()) wrong_type(name, "boolean");
        return value->get<bool>();
    }
    [[nodiscard]] std::optional<std::int64_t> integer(std::string_view name) {
        const auto* const value = find(name);
        if (value == nullptr) return std::nullopt;
        if (!value->is_number_integer()) wrong_type(name, "integer");
        return value->get<std::int64_t>();
    }
    [[nodiscard]] std::string needed_text(std::string_view name) {
        auto value = text(name);
        if (!value) missing(name);
        return *std::move(value);
    }
    [[nodiscard]] Members needed_object(std::string_view name) {
        const auto* const value = find(name);
        if (value == nullptr) missing(name);
        if (!value->is_object()) wrong_type(name, "object");
        return {*value, place(name)};
    }
    /// Members that QEMU has and that would be without effect here.
    void ignore(std::initializer_list<std::string_view> names) {
        for (const auto name : names) known_.emplace_back(name);
    }
    /// Members that QEMU has and that mean what can't be done here.
    void refuse(std::initializer_list<std::string_view> names) {
        for (const auto name : names) {
            const auto* const value = find(name);
            const bool off = value != nullptr && value->is_boolean() && !value->get<bool>();
            if (value != nullptr && !off) throw CommandError(fmt::format("Parameter '{}' is not supported", place(name)));
        }
    }
    void end() const {
        for (const auto& [name, value] : object_.items()) {
            if (std::ranges::find(known_, name) == known_.end())
                throw CommandError(fmt::format("Parameter '{}' is unexpected", place(name)));
        }
    }

private:
    [[nodiscard]] std::string place(std::string_view name) const { return fmt::format("{}.{}", path_, name); }
    [[noreturn]] void missing(std::string_view name) const {
        throw CommandError(fmt::format("Parameter '{}' is missing", place(name)));
    }
    [[noreturn]] void wrong_type(std::string_view name, std::string_view type) const {
        throw CommandError(fmt::format("Invalid parameter type for '{}', expected: {}", place(name), type));
    }

    const Json& object_;
    std::string path_;
    std::vector<std::string> known_;
};

[[noreturn]] void not_a_value(std::string_view value) {
    throw CommandError(fmt::format("Parameter 'type' does not accept value '{}'", value));
}

std::uint16_t parse_port(const std::string& host, const std::string& text) {
    std::uint16_t port = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error == std::errc() && stop == text.data() + text.size() && !text.empty()) return port;
    throw CommandError(
        fmt::format("address resolution failed for {}:{}: the port is not a number from 0 to 65535", host, text));
}

void parse_address(Members address, ChardevSpec& spec) {
    const auto type = address.needed_text("type");
    auto data = address.needed_object("data");
    if (type == "inet") {
        spec.kind = Kind::tcp;
        spec.host = data.needed_text("host");
        spec.port = parse_port(spec.host, data.needed_text("port"));
        // QEMU's word for all addresses of the host.
        if (spec.host.empty()) spec.host = "0.0.0.0";
        data.ignore({"numeric", "keep-alive"});
        data.refuse({"to", "ipv4", "ipv6", "mptcp"});
    } else if (type == "unix") {
        spec.kind = Kind::unix_socket;
        spec.path = data.needed_text("path");
        data.ignore({"tight"});
        data.refuse({"abstract"});
    } else if (type == "fd") {
        throw CommandError(fmt::format("File descriptor named '{}' has not been found", data.needed_text("str")));
    } else {
        not_a_value(type);
    }
    data.end();
    address.end();
}

void parse_socket(Members& data, ChardevBackend& to) {
    auto& spec = to.spec;
    parse_address(data.needed_object("addr"), spec);
    spec.client = !data.flag("server").value_or(true);
    const auto wait = data.flag("wait");
    const auto seconds = data.integer("reconnect");
    if (spec.client && wait) throw CommandError("'wait' option is incompatible with socket in client connect mode");
    if (!spec.client && seconds) {
        throw CommandError("'reconnect' option is incompatible with socket in server listen mode");
    }
    spec.wait = wait.value_or(false);
    spec.telnet = data.flag("telnet").value_or(false);
    if (spec.telnet && spec.kind != Kind::tcp) throw CommandError("Parameter 'backend.data.telnet' is for inet sockets");
    constexpr std::int64_t most = 1'000'000'000;
    if (seconds && (*seconds < 0 || *seconds > most)) {
        throw CommandError(fmt::format("Parameter 'backend.data.reconnect' expects a number of seconds from 0 to {}", most));
    }
    to.connect_later = seconds.value_or(0) > 0;
    if (to.connect_later) spec.reconnect = std::chrono::seconds(*seconds);
    if (spec.client && spec.kind == Kind::tcp && spec.port == 0) {
        throw CommandError(fmt::format("Failed to connect to '{}:0': a client needs the port of its server", spec.host));
    }
    data.ignore({"nodelay"});
    data.refuse({"tls-creds", "tls-authz", "tn3270", "websocket"});
}

}  // namespace

std::span<const std::string_view> chardev_backends() noexcept { return backends; }

ChardevBackend parse_backend(const Json& backend, const ChardevSpec& present) {
    Members all(backend, "backend");
    ChardevBackend to{.spec = present};
    auto& spec = to.spec;
    spec.host.clear();
    spec.path.clear();
    spec.port = 0;
    spec.client = spec.telnet = spec.wait = spec.append = false;
    spec.reconnect = ChardevSpec().reconnect;
    const auto type = all.needed_text("type");
    if (std::ranges::find(backends, type) == backends.end()) not_a_value(type);
    auto data = all.needed_object("data");
    all.end();
    if (auto log = data.text("logfile")) spec.log = *std::move(log);
    spec.append = data.flag("logappend").value_or(false);
    if (type == "file") {
        spec.kind = Kind::file;
        spec.path = data.needed_text("out");
        spec.append = data.flag("append").value_or(false) || spec.append;
        data.refuse({"in"});
    } else if (type == "socket") {
        parse_socket(data, to);
    } else if (type == "pty") {
        spec.kind = Kind::pty;
        // QEMU has it since version 9.2.
        spec.path = data.text("path").value_or("");
    } else if (type == "stdio") {
        spec.kind = Kind::stdio;
        data.ignore({"signal"});
    } else {
        spec.kind = Kind::null;
    }
    data.end();
    return to;
}

}  // namespace asyncvm::control
