/// Checks of errors by their kind and a part of their message.
#pragma once

#include <asyncvm/error.hpp>
#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>

namespace asyncvm::test {

/// Calls `action`, which must throw Error(kind), and returns the message; "nothing was thrown" otherwise.
template <typename Action>
std::string message_of(ErrorKind kind, Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == kind), "wrong kind of error: " << error.what());
        return error.what();
    }
    return "nothing was thrown";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace asyncvm::test
