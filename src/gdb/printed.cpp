#include "gdb/printed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace asyncvm::gdb {

bool Printed::add(std::string_view text) {
    if (text.empty()) return false;
    const std::lock_guard lock(mutex_);
    const std::size_t waiting = text_.size() - taken_;
    full_ = full_ ? waiting > most / 2 : waiting + text.size() > most;
    if (full_) {
        ++dropped_;
        return false;
    }
    // Without it the bytes that have been taken would never go.
    if (taken_ > most) text_.erase(0, std::exchange(taken_, 0));
    tell_gap();
    text_ += text;
    last_ = text.back();
    return waiting == 0;
}

/// Where it is.
void Printed::tell_gap() {
    if (dropped_ == 0) return;
    text_ += fmt::format("{}<lines of dprintf missing here: {}; they came faster than they could be shown>\n",
                         last_ == '\n' ? "" : "\n", std::exchange(dropped_, 0));
    last_ = '\n';
}

std::string Printed::take(std::size_t limit) {
    const std::lock_guard lock(mutex_);
    if (taken_ == text_.size()) tell_gap();
    std::string part = text_.substr(taken_, limit);
    taken_ += part.size();
    if (taken_ == text_.size()) text_.erase(0, std::exchange(taken_, 0));
    return part;
}

bool Printed::empty() const {
    const std::lock_guard lock(mutex_);
    return taken_ == text_.size() && dropped_ == 0;
}

}  // namespace asyncvm::gdb
