#include <chardev/front.hpp>

#include <utility>

namespace asyncvm {

Front::Front(std::shared_ptr<Backend> backend, bool input) : backend_(std::move(backend)), input_(input) {
    backend_->acquire();
    backend_->queue().add_listener(changed());
}

Front::~Front() { close(); }

std::size_t Front::write_some(std::span<const std::byte> data) noexcept { return backend_->queue().write_some(data); }

std::size_t Front::read_some(std::span<std::byte> data) noexcept { return input_ ? backend_->queue().read_some(data) : 0; }

awaitable<void> Front::ready() {
    const auto backend = backend_;
    co_await backend->ready();
}

awaitable<std::uint64_t> Front::drain() {
    const auto backend = backend_;
    const auto left = co_await backend->drain();
    co_return left;
}

void Front::close() noexcept {
    if (std::exchange(closed_, true)) return;
    if (input_) backend_->stop_input();
    backend_->release();
    backend_->queue().remove_listener(changed());
    changed().notify();
}

}  // namespace asyncvm
