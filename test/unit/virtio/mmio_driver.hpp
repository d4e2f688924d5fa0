/// A driver of a virtio-mmio device without a machine: the registers are written as a vCPU writes them, and one loop runs
/// the accesses and the device.
#pragma once

#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../devices/surroundings.hpp"
#include "ring_driver.hpp"
#include "virtio/device_state.hpp"
#include "virtio/mmio_registers.hpp"

namespace asyncvm::virtio {

class MmioDriver {
public:
    using R = MmioRegisters;
    static constexpr unsigned irq = 16;
    static constexpr std::uint64_t ram = 0x40000;

    explicit MmioDriver(std::shared_ptr<Device> of) : MmioDriver([&of](asio::io_context&) { return std::move(of); }) {}

    /// `make` gets the loop.
    explicit MmioDriver(const std::function<std::shared_ptr<Device>(asio::io_context&)>& make,
                        const MemoryOptions& options = {})
        : memory(ram, options), device(make_mmio(make(loop), irq)) {
        device->attached({.memory = memory,
                          .loop = loop,
                          .log = [this](std::string_view line) { log.emplace_back(line); },
                          .clock = surroundings.clock,
                          .random = surroundings.random,
                          .gate = surroundings.gate,
                          .irq = [this](unsigned line) { return IrqLine(surroundings.pins.at(line).pin); }});
        asio::co_spawn(loop, device->run(),
                       asio::bind_cancellation_slot(stop_run.slot(), [this](std::exception_ptr failure) {
                           BOOST_TEST(!failure);
                           run_ended = true;
                       }));
        poll();
    }

    MmioDriver(const MmioDriver&) = delete;
    MmioDriver& operator=(const MmioDriver&) = delete;
    /// What the loop holds goes first.
    ~MmioDriver() { own_loop_.reset(); }

    void poll() {
        loop.restart();
        loop.poll();
    }

    /// Begins an access, which may have to wait.
    void begin_write(std::uint64_t offset, std::uint32_t value, unsigned size = 4) {
        written = std::make_shared<Access>(access_of(offset, size));
        written->data = value;
        write_done = false;
        asio::co_spawn(loop, device->write(*written), [this, keep = written](std::exception_ptr failure) {
            BOOST_TEST(!failure);
            write_done = true;
        });
        poll();
    }
    void write(std::uint64_t offset, std::uint32_t value, unsigned size = 4) {
        begin_write(offset, value, size);
        BOOST_REQUIRE(write_done);
    }
    [[nodiscard]] std::uint32_t read(std::uint64_t offset, unsigned size = 4) {
        Access access = access_of(offset, size);
        bool done = false;
        asio::co_spawn(loop, device->read(access), [&done](std::exception_ptr) { done = true; });
        poll();
        BOOST_REQUIRE(done);
        return static_cast<std::uint32_t>(access.data);
    }

    /// Rings the doorbell of a queue, as the bus does.
    void notify(unsigned queue) {
        asio::co_spawn(loop, device->rung(queue), [](std::exception_ptr) {});
        poll();
    }

    [[nodiscard]] std::uint64_t offered() {
        write(R::device_features_select, 1);
        const std::uint64_t high = read(R::device_features);
        write(R::device_features_select, 0);
        return high << 32 | read(R::device_features);
    }

    /// Up to FEATURES_OK. Returns whether the device takes the features.
    bool negotiate(std::uint64_t features) {
        write(R::status, 0);
        write(R::status, DeviceState::acknowledge);
        write(R::status, DeviceState::acknowledge | DeviceState::driver);
        write(R::driver_features_select, 1);
        write(R::driver_features, static_cast<std::uint32_t>(features >> 32));
        write(R::driver_features_select, 0);
        write(R::driver_features, static_cast<std::uint32_t>(features));
        write(R::status, negotiated_status);
        return read(R::status) == negotiated_status;
    }

    void set_up_queue(unsigned index, const RingDriver& ring) {
        write(R::queue_select, index);
        BOOST_TEST(read(R::queue_ready) == 0u);
        write(R::queue_size, ring.size());
        write(R::queue_descriptors, static_cast<std::uint32_t>(ring.descriptors()));
        write(R::queue_descriptors + 4, static_cast<std::uint32_t>(ring.descriptors() >> 32));
        write(R::queue_available, static_cast<std::uint32_t>(ring.available()));
        write(R::queue_available + 4, static_cast<std::uint32_t>(ring.available() >> 32));
        write(R::queue_used, static_cast<std::uint32_t>(ring.used()));
        write(R::queue_used + 4, static_cast<std::uint32_t>(ring.used() >> 32));
        write(R::queue_ready, 1);
    }

    void be_ready() { write(R::status, negotiated_status | DeviceState::driver_ok); }

    /// All of it: a driver with these features, and one ring of 8 for each queue.
    void start(std::uint64_t features = feature_version_1, unsigned queues = 1) {
        BOOST_REQUIRE(negotiate(features));
        rings.clear();
        for (unsigned index = 0; index < queues; ++index) {
            memory.zero(0x1000 * (index + 1), 0x1000);
            rings.push_back(std::make_unique<RingDriver>(memory, 0x1000 * (index + 1), std::uint16_t{8}));
            set_up_queue(index, *rings.back());
        }
        be_ready();
    }

    [[nodiscard]] RingDriver& ring(unsigned index = 0) { return *rings.at(index); }
    [[nodiscard]] bool interrupted() const { return surroundings.pins[irq].pin.level(); }
    [[nodiscard]] unsigned interrupts() const { return surroundings.pins[irq].rising; }
    /// What a driver does in its interrupt handler: reads the causes and acknowledges them.
    std::uint32_t acknowledge() {
        const std::uint32_t causes = read(R::interrupt_status);
        write(R::interrupt_acknowledge, causes);
        return causes;
    }

    [[nodiscard]] std::vector<std::byte> saved() const {
        StateWriter writer;
        device->save(writer);
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    void restore(std::span<const std::byte> bytes) {
        StateReader reader(bytes);
        device->restore(reader);
        poll();
    }

    static constexpr std::uint32_t negotiated_status =
        DeviceState::acknowledge | DeviceState::driver | DeviceState::features_ok;

private:
    std::unique_ptr<asio::io_context> own_loop_ = std::make_unique<asio::io_context>(1);

public:
    asio::io_context& loop = *own_loop_;
    Surroundings surroundings{loop};
    GuestMemory memory;
    std::vector<std::string> log;
    std::shared_ptr<asyncvm::Device> device;
    std::vector<std::unique_ptr<RingDriver>> rings;
    std::shared_ptr<Access> written;
    bool write_done = false;
    bool run_ended = false;
    asio::cancellation_signal stop_run;

private:
    static Access access_of(std::uint64_t offset, unsigned size) {
        Access access;
        access.space = Space::memory;
        access.address = 0xfeb00000 + offset;
        access.offset = offset;
        access.size = static_cast<std::uint8_t>(size);
        return access;
    }
};

}  // namespace asyncvm::virtio
