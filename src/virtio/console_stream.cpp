#include "virtio/console_stream.hpp"

#include <algorithm>
#include <utility>

namespace asyncvm::virtio {

ConsoleStream::ConsoleStream(std::shared_ptr<Chardev> chardev) : chardev_(std::move(chardev)) {}

awaitable<void> ConsoleStream::transmit(Queue& queue) {
    for (;;) {
        Chain chain = co_await queue.pop();
        std::uint64_t skip = state_.bytes;
        for (auto rest : chain.readable()) {
            const auto skipped = std::min<std::uint64_t>(skip, rest.size());
            skip -= skipped;
            rest = rest.subspan(skipped);
            while (!rest.empty()) {
                const auto seen = chardev_->changed().generation();
                const std::size_t taken = chardev_->write_some(rest);
                state_.bytes += taken;
                rest = rest.subspan(taken);
                if (!rest.empty()) co_await chardev_->changed().wait(seen);
            }
        }
        state_ = {};
        queue.push(std::move(chain), 0);
    }
}

awaitable<void> ConsoleStream::receive(Queue& queue) {
    for (;;) {
        Chain chain = co_await queue.pop();
        std::uint64_t received = 0;
        while (received == 0 && chain.writable_size() > 0) {
            const auto seen = chardev_->changed().generation();
            if (!gate_->is_open()) co_await PauseGate::passed(gate_);
            for (const auto buffer : chain.writable()) {
                const std::size_t taken = open_ ? read(buffer) : 0;
                received += taken;
                if (taken < buffer.size()) break;
            }
            if (received == 0) co_await chardev_->changed().wait(seen);
        }
        queue.push(std::move(chain), received);
    }
}

void ConsoleStream::set_open(bool open) {
    if (std::exchange(open_, open) != open) chardev_->changed().notify();
}

/// A console has no BREAK: input goes on behind one.
std::size_t ConsoleStream::read(std::span<std::byte> buffer) {
    std::size_t taken = 0;
    while (taken < buffer.size()) {
        const std::size_t more = chardev_->read_some(buffer.subspan(taken));
        taken += more;
        if (more == 0 && !chardev_->take_break()) break;
    }
    return taken;
}

}  // namespace asyncvm::virtio
