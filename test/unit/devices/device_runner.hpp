/// Runs accesses to a device one at a time, as a vCPU does.
#pragma once

#include <asyncvm/device.hpp>

#include <cstdint>
#include <exception>
#include <utility>

namespace asyncvm {

class DeviceRunner {
public:
    static Access make_access(std::uint64_t address, unsigned size, std::uint64_t data = 0) {
        Access access;
        access.address = address;
        access.size = static_cast<std::uint8_t>(size);
        access.data = data;
        return access;
    }

    /// Runs the loop until the device has answered; what the device throws comes out.
    void write(Device& device, const Access& access) { finish(device.write(access)); }

    std::uint64_t read(Device& device, Access access) {
        finish(device.read(access));
        return access.data;
    }

    /// Starts an access; poll() then lets it go as far as it can without waiting.
    void start(awaitable<void> work) {
        done_ = false;
        failure_ = nullptr;
        asio::co_spawn(loop_, std::move(work),
                       asio::bind_cancellation_slot(cancel_.slot(), [this](std::exception_ptr failure) {
                           done_ = true;
                           failure_ = std::move(failure);
                       }));
    }

    void poll() {
        loop_.restart();
        loop_.poll();
    }

    void cancel() { cancel_.emit(asio::cancellation_type::terminal); }

    void finish(awaitable<void> work) {
        start(std::move(work));
        loop_.restart();
        loop_.run();
        if (failure_) std::rethrow_exception(failure_);
    }

    [[nodiscard]] bool done() const noexcept { return done_; }
    [[nodiscard]] bool failed() const noexcept { return failure_ != nullptr; }

private:
    asio::io_context loop_{1};
    asio::cancellation_signal cancel_;
    bool done_ = false;
    std::exception_ptr failure_;
};

}  // namespace asyncvm
