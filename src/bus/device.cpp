#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <cstring>

namespace asyncvm {

awaitable<void> Device::write_string(const Access& first, std::span<const std::byte> data) {
    Access access = first;
    for (std::size_t at = 0; at + first.size <= data.size(); at += first.size) {
        access.data = 0;
        std::memcpy(&access.data, data.data() + at, first.size);
        co_await write(access);
    }
}

awaitable<void> Device::read_string(const Access& first, std::span<std::byte> data) {
    Access access = first;
    for (std::size_t at = 0; at + first.size <= data.size(); at += first.size) {
        access.data = 0;
        co_await read(access);
        std::memcpy(data.data() + at, &access.data, first.size);
    }
}

awaitable<void> Device::rung(std::size_t) { co_return; }

awaitable<void> Device::run() { co_return; }

awaitable<void> Device::before_reset() { co_return; }

void Device::save(StateWriter&) {
    throw Error(ErrorKind::usage, fmt::format("device {} can't be saved: it does not say what its state is", name()));
}

void Device::restore(StateReader&) {
    throw Error(ErrorKind::usage, fmt::format("device {} can't be restored: it does not say what its state is", name()));
}

awaitable<void> PauseGate::passed(std::shared_ptr<PauseGate> gate) {
    for (;;) {
        const auto seen = gate->changed_.generation();
        if (gate->is_open()) co_return;
        co_await gate->changed_.wait(seen);
    }
}

void PauseGate::open() noexcept {
    open_.store(true, std::memory_order_release);
    changed_.notify();
}

void PauseGate::close() noexcept {
    open_.store(false, std::memory_order_release);
    changed_.notify();
}

}  // namespace asyncvm
