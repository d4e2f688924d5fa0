/// JSON values, and an error that a command answers with.
#pragma once

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace asyncvm::control {

/// Members keep the order in which they were added.
using Json = nlohmann::ordered_json;

/// On one line. Bytes that are no UTF-8, such as a guest's, become U+FFFD.
[[nodiscard]] inline std::string to_text(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A command that was refused, in QMP's words: the class that programs look at, and a description for people.
class CommandError : public std::runtime_error {
public:
    explicit CommandError(const std::string& description, std::string_view error_class = "GenericError")
        : std::runtime_error(description), error_class_(error_class) {}
    [[nodiscard]] const std::string& error_class() const noexcept { return error_class_; }

private:
    std::string error_class_;
};

}  // namespace asyncvm::control
