#include "trace/record.hpp"

#include <algorithm>
#include <limits>

namespace asyncvm::trace {

std::string plain(std::string_view text) {
    std::string result(text);
    std::ranges::replace_if(
        result, [](char c) { return c < ' ' || c > '~'; }, '?');
    return result;
}

std::uint16_t Names::number(std::string_view name) noexcept {
    if (name.empty()) return 0;
    name = name.substr(0, longest);
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(names_, name);
    const auto index = static_cast<std::size_t>(found - names_.begin());
    if (index + 1 > std::numeric_limits<std::uint16_t>::max()) return 0;
    if (found == names_.end()) {
        try {
            names_.emplace_back(name);
        } catch (...) {
            return 0;
        }
    }
    return static_cast<std::uint16_t>(index + 1);
}

std::string Names::name(std::uint16_t number) const {
    const std::lock_guard lock(mutex_);
    return number == 0 || number > names_.size() ? "?" : plain(names_[number - 1]);
}

}  // namespace asyncvm::trace
