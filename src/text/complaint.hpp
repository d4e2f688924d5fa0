/// What is wrong with a text that a person typed.
#pragma once

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <string>
#include <utility>

namespace asyncvm {

/// Throws Error(usage) that begins with the text in question: `'tcp:x': x is no port`.
class Complaint {
public:
    /// `about`: as it is shown: "'tcp:x'", "--disk a.img".
    explicit Complaint(std::string about) : about_(std::move(about)) {}

    template <typename... Args>
    [[noreturn]] void operator()(fmt::format_string<Args...> format, Args&&... args) const {
        throw Error(ErrorKind::usage, fmt::format("{}: {}", about_, fmt::format(format, std::forward<Args>(args)...)));
    }

private:
    const std::string about_;
};

}  // namespace asyncvm
