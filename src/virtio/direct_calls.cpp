#include "virtio/direct_calls.hpp"

#include <algorithm>

namespace asyncvm::virtio {

namespace {

bool are_same(const std::optional<MsiMessage>& one, const std::optional<MsiMessage>& other) noexcept {
    if (!one || !other) return !one && !other;
    return one->address == other->address && one->data == other->data;
}

}  // namespace

DirectCalls::DirectCalls(InterruptController& controller, const std::vector<int>& eventfds, unsigned first_line,
                         unsigned lines)
    : controller_(&controller), first_line_(first_line) {
    const auto count = std::min<std::size_t>(eventfds.size(), lines);
    const bool has_any = std::any_of(eventfds.begin(), eventfds.begin() + static_cast<std::ptrdiff_t>(count),
                                     [](int eventfd) { return eventfd >= 0; });
    if (!has_any) return;
    for (std::size_t queue = 0; queue < count; ++queue) calls_.push_back({.eventfd = eventfds[queue]});
}

void DirectCalls::set(const std::vector<std::optional<MsiMessage>>& messages) {
    try {
        for (std::size_t queue = 0; queue < std::min(calls_.size(), messages.size()); ++queue) set(queue, messages[queue]);
    } catch (...) {
        for (std::size_t queue = 0; queue < calls_.size(); ++queue) disconnect(queue);
        calls_.clear();
        throw;
    }
}

void DirectCalls::set(std::size_t queue, const std::optional<MsiMessage>& message) {
    Call& call = calls_[queue];
    if (call.eventfd < 0 || are_same(call.message, message)) return;
    if (!message) return disconnect(queue);
    const unsigned line = first_line_ + static_cast<unsigned>(queue);
    // To route takes KVM up to milliseconds.
    if (!are_same(call.route, message)) controller_->route(line, *message);
    call.route = message;
    if (!call.message) controller_->attach_irqfd(line, call.eventfd);
    call.message = message;
}

void DirectCalls::disconnect(std::size_t queue) noexcept {
    Call& call = calls_[queue];
    if (call.message) controller_->detach_irqfd(first_line_ + static_cast<unsigned>(queue), call.eventfd);
    call.message.reset();
}

}  // namespace asyncvm::virtio
