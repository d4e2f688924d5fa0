#include "control/client.hpp"

#include "socket/address.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace asyncvm::control {

namespace {

std::string without_kind(const std::string& path) {
    constexpr std::string_view kind = "unix:";
    return path.starts_with(kind) ? path.substr(kind.size()) : path;
}

std::string member(const Json& object, std::string_view name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Client::Client(const std::string& path) : path_(without_kind(path)), fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto address = unix_address(path_);
    if (!fd_.valid() || ::connect(fd_.get(), address.get(), address.size) != 0) {
        const int error = errno;
        const bool absent = error == ENOENT || error == ECONNREFUSED;
        throw Error(ErrorKind::host, fmt::format("cannot connect to {}: {}{}", path_, reason(error),
                                                 absent ? " (no asyncvm runs with --control unix:" + path_ + ")" : ""));
    }
    const auto greeting = next_message();
    if (!greeting) {
        throw Error(ErrorKind::host, fmt::format("{} takes nobody: its machine ends just now, or is another user's", path_));
    }
    if (!greeting->contains("QMP")) {
        throw Error(ErrorKind::host, fmt::format("{} is no control socket: its greeting is another one", path_));
    }
    static_cast<void>(execute("qmp_capabilities"));
}

void Client::has_ended() const { throw Error(ErrorKind::host, fmt::format("the machine behind {} has ended", path_)); }

void Client::send(std::string_view text) {
    while (!text.empty()) {
        const auto put = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && (errno == EPIPE || errno == ECONNRESET)) has_ended();
        if (put < 0) throw Error(ErrorKind::host, fmt::format("cannot write to {}: {}", path_, reason(errno)));
        text.remove_prefix(static_cast<std::size_t>(put));
    }
}

std::optional<Json> Client::next_message() {
    std::array<char, 16384> buffer;
    for (;;) {
        if (const auto value = stream_.next()) {
            auto message = Json::parse(value->text, nullptr, false);
            if (message.is_object()) return message;
            throw Error(ErrorKind::host, fmt::format("{} is no control socket: it says what is no message", path_));
        }
        const auto got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::nullopt;
        stream_.feed({buffer.data(), static_cast<std::size_t>(got)});
    }
}

Json Client::expect_message() {
    auto message = next_message();
    if (!message) has_ended();
    return *std::move(message);
}

Json Client::execute(std::string_view command, const Json& arguments) {
    Json request{{"execute", command}};
    if (!arguments.empty()) request["arguments"] = arguments;
    send(to_text(request) + "\n");
    for (;;) {
        auto message = expect_message();
        if (message.contains("event")) {
            events_.push_back(std::move(message));
        } else if (const auto error = message.find("error"); error != message.end()) {
            throw CommandError(member(*error, "desc"), member(*error, "class"));
        } else if (const auto answer = message.find("return"); answer != message.end()) {
            return std::move(*answer);
        }
    }
}

std::optional<Json> Client::next_event() {
    if (!events_.empty()) {
        auto event = std::move(events_.front());
        events_.pop_front();
        return event;
    }
    for (;;) {
        auto message = next_message();
        if (!message || message->contains("event")) return message;
    }
}

}  // namespace asyncvm::control
