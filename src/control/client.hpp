/// The other end of a control socket: for programs that ask and tell.
#pragma once

#include "control/json.hpp"
#include "control/json_stream.hpp"
#include "os/unique_fd.hpp"

#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm::control {

/// Blocks. Throws Error(host) if the connection fails or ends, or the other side does not speak QMP.
class Client {
public:
    /// Connects and negotiates. `path`: of the socket file, with or without "unix:". Throws Error(usage) for one that is too
    /// long.
    explicit Client(const std::string& path);

    /// Throws CommandError with what the machine says against it.
    [[nodiscard]] Json execute(std::string_view command, const Json& arguments = Json::object());

    /// Nothing: the machine has ended.
    [[nodiscard]] std::optional<Json> next_event();

private:
    [[nodiscard]] std::optional<Json> next_message();
    [[nodiscard]] Json expect_message();
    [[noreturn]] void has_ended() const;
    void send(std::string_view text);

    std::string path_;
    UniqueFd fd_;
    JsonStream stream_;
    std::deque<Json> events_;
};

}  // namespace asyncvm::control
