/// Command lines in tests.
#pragma once

#include "cli/options.hpp"

#include <asyncvm/error.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace asyncvm::cli {

inline Options parse(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"asyncvm"};
    for (const auto& argument : arguments) argv.push_back(argument.c_str());
    return parse_options(static_cast<int>(argv.size()), argv.data());
}

/// What `action` says is wrong with the usage.
template <typename Action>
std::string usage_error(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::usage) throw std::logic_error(std::string("not a usage error: ") + error.what());
        return error.what();
    }
    return "(no error)";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace asyncvm::cli
