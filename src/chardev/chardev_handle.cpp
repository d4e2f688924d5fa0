#include <chardev/chardev_handle.hpp>

#include <utility>

namespace asyncvm {

ChardevHandle::ChardevHandle(std::shared_ptr<Backend> backend, bool input) : backend_(std::move(backend)), input_(input) {
    backend_->acquire();
    backend_->queue().add_listener(changed());
}

ChardevHandle::~ChardevHandle() { close(); }

std::size_t ChardevHandle::write_some(std::span<const std::byte> data) noexcept {
    return backend_->queue().write_some(data);
}

std::size_t ChardevHandle::read_some(std::span<std::byte> data) noexcept {
    return input_ ? backend_->queue().read_some(data) : 0;
}

awaitable<void> ChardevHandle::ready() {
    const auto backend = backend_;
    co_await backend->ready();
}

awaitable<std::uint64_t> ChardevHandle::drain() {
    const auto backend = backend_;
    const auto left = co_await backend->drain();
    co_return left;
}

void ChardevHandle::close() noexcept {
    if (std::exchange(closed_, true)) return;
    if (input_) backend_->stop_input();
    backend_->release();
    backend_->queue().remove_listener(changed());
    changed().notify();
}

}  // namespace asyncvm
