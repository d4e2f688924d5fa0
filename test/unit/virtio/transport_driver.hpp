/// What the drivers of both transports share: a loop, the surroundings of a device without a machine, rings, and the
/// negotiation.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../devices/surroundings.hpp"
#include "ring_driver.hpp"
#include "virtio/device_state.hpp"

namespace asyncvm::virtio {

class TransportDriver {
public:
    static constexpr std::uint64_t ram = 0x40000;
    static constexpr std::uint8_t negotiated_status =
        DeviceState::acknowledge | DeviceState::driver | DeviceState::features_ok;

    TransportDriver(const TransportDriver&) = delete;
    TransportDriver& operator=(const TransportDriver&) = delete;
    virtual ~TransportDriver() = default;

    void poll() {
        loop.restart();
        loop.poll();
    }

    /// Up to FEATURES_OK. Returns whether the device takes the features.
    bool negotiate(std::uint64_t features) {
        put_status(0);
        BOOST_TEST(get_status() == 0u);
        put_status(DeviceState::acknowledge);
        put_status(DeviceState::acknowledge | DeviceState::driver);
        for (const unsigned half : {1u, 0u}) put_features(half, static_cast<std::uint32_t>(features >> (32 * half)));
        put_status(negotiated_status);
        return get_status() == negotiated_status;
    }

    void be_ready() { put_status(negotiated_status | DeviceState::driver_ok); }

    [[nodiscard]] RingDriver& ring(unsigned index = 0) { return *rings.at(index); }

    [[nodiscard]] std::vector<std::byte> saved() const {
        StateWriter writer;
        attached_->save(writer);
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    void restore(std::span<const std::byte> bytes) {
        StateReader reader(bytes);
        attached_->restore(reader);
        poll();
    }

protected:
    explicit TransportDriver(const MemoryOptions& options = {}) : memory(ram, options) {}

    /// Surrounds `device`, which the derived class keeps, and starts its background work. What its end is told to is
    /// `ended`.
    template <class Ended>
    void attach(asyncvm::Device& device, InterruptController* controller, Ended ended) {
        attached_ = &device;
        attached_->attached({.memory = memory,
                             .loop = loop,
                             .log = [this](std::string_view line) { log.emplace_back(line); },
                             .clock = surroundings.clock,
                             .random = surroundings.random,
                             .gate = surroundings.gate,
                             .irq = [this](unsigned line) { return IrqLine(surroundings.pins.at(line).pin); },
                             .interrupts = controller});
        asio::co_spawn(loop, attached_->run(), std::move(ended));
        poll();
    }

    /// A ring of 8, the next one.
    RingDriver& add_ring() {
        const std::uint64_t base = 0x1000 * (rings.size() + 1);
        memory.zero(base, 0x1000);
        rings.push_back(std::make_unique<RingDriver>(memory, base, std::uint16_t{8}));
        return *rings.back();
    }

    /// Calls `write(register, value)` for each half of the ring's addresses.
    template <class Registers, class Write>
    static void put_addresses(const RingDriver& ring, Write write) {
        for (const auto& [low, address] :
             {std::pair(Registers::queue_descriptors, ring.descriptors()),
              std::pair(Registers::queue_available, ring.available()), std::pair(Registers::queue_used, ring.used())}) {
            write(low, static_cast<std::uint32_t>(address));
            write(low + 4, static_cast<std::uint32_t>(address >> 32));
        }
    }

    /// What the loop holds goes first, before the members of a derived class.
    void end_loop() { own_loop_.reset(); }

private:
    virtual void put_status(std::uint8_t value) = 0;
    [[nodiscard]] virtual std::uint32_t get_status() = 0;
    virtual void put_features(unsigned half, std::uint32_t features) = 0;

    std::unique_ptr<asio::io_context> own_loop_ = std::make_unique<asio::io_context>(1);

public:
    asio::io_context& loop = *own_loop_;
    Surroundings surroundings{loop};
    GuestMemory memory;
    std::vector<std::string> log;
    std::vector<std::unique_ptr<RingDriver>> rings;

private:
    asyncvm::Device* attached_ = nullptr;
};

}  // namespace asyncvm::virtio
