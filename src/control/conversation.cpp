#include "control/conversation.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace asyncvm::control {

namespace {

constexpr std::string_view not_found = "CommandNotFound";

std::string line(const Json& value) { return to_text(value) + "\r\n"; }

/// What is wrong, without the parser's own words about where it says so.
CommandError parse_error(std::string_view what) {
    constexpr std::string_view before = "syntax error ";
    const auto at = what.find(before);
    if (at != std::string_view::npos) what.remove_prefix(at + before.size());
    return CommandError(fmt::format("JSON parse error, {}", what));
}

}  // namespace

Json version() {
    int major = 0;
    int minor = 0;
    int micro = 0;
    std::sscanf(ASYNCVM_VERSION, "%d.%d.%d", &major, &minor, &micro);
    // Clients of QEMU look for the member "qemu".
    return {{"qemu", {{"micro", micro}, {"minor", minor}, {"major", major}}}, {"package", "asyncvm " ASYNCVM_VERSION}};
}

std::string Conversation::greeting() { return line({{"QMP", {{"version", version()}, {"capabilities", Json::array()}}}}); }

std::string Conversation::answer(const Request& request, const Json& value) {
    Json message{{"return", value}};
    if (request.id) message["id"] = *request.id;
    return line(message);
}

std::string Conversation::refusal(const std::optional<Json>& id, const CommandError& error) {
    Json message = Json::object();
    if (id) message["id"] = *id;
    message["error"] = {{"class", error.error_class()}, {"desc", error.what()}};
    return line(message);
}

std::string Conversation::event(std::string_view name, const Json& data, std::chrono::system_clock::time_point time) {
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
    Json message{{"timestamp", {{"seconds", since / 1'000'000}, {"microseconds", since % 1'000'000}}}, {"event", name}};
    if (!data.empty()) message["data"] = data;
    return line(message);
}

Conversation::Request Conversation::understand(const Json& message) const {
    Request request;
    std::string name;
    bool named = false;
    for (const auto& [key, value] : message.items()) {
        if (key == "execute" || key == "exec-oob") {
            if (!value.is_string()) throw CommandError(fmt::format("QMP input member '{}' must be a string", key));
            name = value.get<std::string>();
            named = true;
            if (key == "exec-oob") throw CommandError(fmt::format("The command {} does not support OOB", name));
        } else if (key == "arguments") {
            if (!value.is_object()) throw CommandError("QMP input member 'arguments' must be an object");
            request.arguments = value;
        } else if (key != "id") {
            throw CommandError(fmt::format("QMP input member '{}' is unexpected", key));
        }
    }
    if (!named) throw CommandError("QMP input lacks member 'execute'");
    request.command = find_command(name);
    const bool begins = request.command != nullptr && request.command->name == "qmp_capabilities";
    if (!negotiated_ && !begins) {
        throw CommandError("Expecting capabilities negotiation with 'qmp_capabilities'", not_found);
    }
    if (negotiated_ && begins) {
        throw CommandError("Capabilities negotiation is already complete, command ignored", not_found);
    }
    if (request.command == nullptr) throw CommandError(fmt::format("The command {} has not been found", name), not_found);
    check_arguments(*request.command, request.arguments);
    return request;
}

void Conversation::negotiate(const Json& arguments) {
    if (const auto wanted = arguments.find("enable"); wanted != arguments.end() && !wanted->empty()) {
        throw CommandError(fmt::format("Capability {} is not available: there are none", to_text(wanted->front())));
    }
    negotiated_ = true;
}

std::optional<Conversation::Step> Conversation::next() {
    const auto value = stream_.next();
    if (!value) return std::nullopt;
    std::optional<Json> id;
    try {
        if (!value->error.empty()) throw CommandError(std::string(value->error));
        Json message;
        try {
            message = Json::parse(value->text);
        } catch (const Json::exception& error) {
            throw parse_error(error.what());
        }
        if (!message.is_object()) throw CommandError("QMP input must be a JSON object");
        if (const auto found = message.find("id"); found != message.end()) id = *found;
        Request request = understand(message);
        request.id = id;
        if (request.command->name != "qmp_capabilities") return Step{.request = std::move(request)};
        negotiate(request.arguments);
        return Step{.answer = answer(request, Json::object())};
    } catch (const CommandError& error) {
        return Step{.answer = refusal(id, error)};
    }
}

}  // namespace asyncvm::control
