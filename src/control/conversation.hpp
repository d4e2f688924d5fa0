/// One client of the control socket, as far as the protocol goes (QMP: docs/control.md). Pure.
#pragma once

#include "control/json.hpp"
#include "control/json_stream.hpp"
#include "control/schema.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm::control {

/// What the client says goes in, cut anywhere; out come commands that are to be carried out, and lines to send to it. One
/// command at a time: the next one is looked at when the one before has been answered.
class Conversation {
public:
    struct Request {
        const Command* command = nullptr;
        Json arguments = Json::object();
        std::optional<Json> id{};
    };
    struct Step {
        std::string answer{};              ///< a line, if there is something to answer at once
        std::optional<Request> request{};  ///< otherwise, to be carried out and answered by answer() or refusal()
    };

    void feed(std::string_view bytes) { stream_.feed(bytes); }
    /// Nothing: the client has to say more.
    [[nodiscard]] std::optional<Step> next();

    /// The first line.
    [[nodiscard]] static std::string greeting();
    [[nodiscard]] static std::string answer(const Request& request, const Json& value);
    [[nodiscard]] static std::string refusal(const std::optional<Json>& id, const CommandError& error);
    /// `data`: an object; left out if it is empty.
    [[nodiscard]] static std::string event(std::string_view name, const Json& data,
                                           std::chrono::system_clock::time_point time);

    /// Whether the client gets events.
    [[nodiscard]] bool negotiated() const noexcept { return negotiated_; }

private:
    [[nodiscard]] Request understand(const Json& message) const;
    void negotiate(const Json& arguments);

    JsonStream stream_;
    bool negotiated_ = false;
};

/// The answer to query-version, and a part of the greeting.
[[nodiscard]] Json version();

}  // namespace asyncvm::control
