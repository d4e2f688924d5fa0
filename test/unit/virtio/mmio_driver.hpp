/// A driver of a virtio-mmio device without a machine: the registers are written as a vCPU writes them, and one loop runs
/// the accesses and the device.
#pragma once

#include <asyncvm/virtio.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "transport_driver.hpp"
#include "virtio/mmio_registers.hpp"

namespace asyncvm::virtio {

class MmioDriver : public TransportDriver {
public:
    using R = MmioRegisters;
    static constexpr unsigned irq = 16;

    explicit MmioDriver(std::shared_ptr<Device> of) : MmioDriver([&of](asio::io_context&) { return std::move(of); }) {}

    /// `make` gets the loop.
    explicit MmioDriver(const std::function<std::shared_ptr<Device>(asio::io_context&)>& make,
                        const MemoryOptions& options = {})
        : TransportDriver(options), device(make_mmio(make(loop), irq)) {
        attach(*device, nullptr, asio::bind_cancellation_slot(stop_run.slot(), [this](std::exception_ptr failure) {
            BOOST_TEST(!failure);
            run_ended = true;
        }));
    }
    ~MmioDriver() { end_loop(); }

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

    void set_up_queue(unsigned index, const RingDriver& ring) {
        write(R::queue_select, index);
        BOOST_TEST(read(R::queue_ready) == 0u);
        write(R::queue_size, ring.size());
        put_addresses<R>(ring, [this](unsigned reg, std::uint32_t value) { write(reg, value); });
        write(R::queue_ready, 1);
    }

    /// All of it: a driver with these features, and one ring of 8 for each queue.
    void start(std::uint64_t features = feature_version_1, unsigned queues = 1) {
        BOOST_REQUIRE(negotiate(features));
        rings.clear();
        for (unsigned index = 0; index < queues; ++index) set_up_queue(index, add_ring());
        be_ready();
    }

    [[nodiscard]] bool interrupted() const { return surroundings.pins[irq].pin.level(); }
    [[nodiscard]] unsigned interrupts() const { return surroundings.pins[irq].rising; }
    /// What a driver does in its interrupt handler: reads the causes and acknowledges them.
    std::uint32_t acknowledge() {
        const std::uint32_t causes = read(R::interrupt_status);
        write(R::interrupt_acknowledge, causes);
        return causes;
    }

    std::shared_ptr<asyncvm::Device> device;
    std::shared_ptr<Access> written;
    bool write_done = false;
    bool run_ended = false;
    asio::cancellation_signal stop_run;

private:
    void put_status(std::uint8_t value) override { write(R::status, value); }
    [[nodiscard]] std::uint32_t get_status() override { return read(R::status); }
    void put_features(unsigned half, std::uint32_t features) override {
        write(R::driver_features_select, half);
        write(R::driver_features, features);
    }

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
