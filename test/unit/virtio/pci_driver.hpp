/// A driver of a virtio-pci device without a machine: it finds the registers by the capabilities, as Linux does, and one
/// loop runs the accesses and the device.
#pragma once

#include <asyncvm/error.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/virtio.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "transport_driver.hpp"
#include "virtio/pci_registers.hpp"

namespace asyncvm::virtio {

/// Notes what is sent.
class NotingController final : public InterruptController {
public:
    void set(unsigned, bool) noexcept override {}
    void expect_messages() noexcept override { expected = true; }
    bool signal(const MsiMessage& message) noexcept override {
        messages.push_back(message.data);
        return true;
    }
    void attach_irqfd(unsigned gsi, int eventfd, int) override { connected[gsi] = eventfd; }
    void detach_irqfd(unsigned gsi, int eventfd) noexcept override {
        if (connected[gsi] == eventfd) connected.erase(gsi);
    }
    void route(unsigned gsi, const MsiMessage& message) override {
        if (refuses) throw Error(ErrorKind::host, "KVM refuses routes of interrupts (KVM_SET_GSI_ROUTING)");
        routes.emplace_back(gsi, message.data);
    }

    std::map<unsigned, int> connected;                       ///< lines and their eventfds
    std::vector<std::pair<unsigned, std::uint32_t>> routes;  ///< lines and data, in the order in which they were made
    bool refuses = false;
    std::vector<std::uint32_t> messages;
    bool expected = false;
};

class NotingRange final : public MovableRange {
public:
    void move(std::optional<std::uint64_t> first) noexcept override { moves.push_back(first); }
    std::vector<std::optional<std::uint64_t>> moves;
};

class PciDriver : public TransportDriver {
public:
    using R = PciRegisters;
    static constexpr unsigned irq = 11;
    static constexpr std::uint32_t bar = 0xc000'0000;

    explicit PciDriver(std::shared_ptr<Device> of) : function(make_pci(std::move(of))) {
        function->plug({.bar = bar, .irq = irq, .range = range, .first_line = 100, .lines = 2});
        attach(*function, &controller, [](std::exception_ptr) {});
        find_registers();
    }
    ~PciDriver() { end_loop(); }

    template <class Coroutine>
    void run(Coroutine coroutine) {
        bool done = false;
        asio::co_spawn(loop, std::move(coroutine), [&done](std::exception_ptr failure) {
            BOOST_TEST(!failure);
            done = true;
        });
        poll();
        BOOST_REQUIRE(done);
    }

    [[nodiscard]] std::uint32_t config(unsigned offset, unsigned size = 4) {
        std::uint32_t value = 0;
        run(read_config(function, offset, size, value));
        return value;
    }
    void set_config(unsigned offset, unsigned size, std::uint32_t value) {
        run(function->write_config(offset, size, value));
    }

    [[nodiscard]] std::uint32_t read(unsigned offset, unsigned size) {
        Access access = access_of(offset, size);
        run(function->read(access));
        return static_cast<std::uint32_t>(access.data);
    }
    void write(unsigned offset, unsigned size, std::uint32_t value) {
        Access access = access_of(offset, size);
        access.data = value;
        run(function->write(access));
    }
    [[nodiscard]] std::uint32_t common(unsigned reg, unsigned size) { return read(at_common + reg, size); }
    void set_common(unsigned reg, unsigned size, std::uint32_t value) { write(at_common + reg, size, value); }

    /// Rings the doorbell of a queue, as the bus does.
    void notify(unsigned queue) {
        run(function->rung(queue));
        poll();
    }

    /// The table as Linux writes it: while all is masked, then each entry. Vector n has the data 0x40 + n.
    void enable_msix(unsigned vectors) {
        set_config(at_msix + 2, 2, 0xc000);
        for (unsigned vector = 0; vector < vectors; ++vector) {
            write(R::msix_table + 16 * vector, 4, 0xfee0'0000);
            write(R::msix_table + 16 * vector + 4, 4, 0);
            write(R::msix_table + 16 * vector + 8, 4, 0x40 + vector);
            write(R::msix_table + 16 * vector + 12, 4, 0);
        }
        set_config(at_msix + 2, 2, 0x8000);
    }

    void set_up_queue(unsigned index, const RingDriver& ring, std::optional<unsigned> vector) {
        set_common(R::queue_select, 2, index);
        BOOST_TEST(common(R::queue_enable, 2) == 0u);
        set_common(R::queue_size, 2, ring.size());
        put_addresses<R>(ring, [this](unsigned reg, std::uint32_t value) { set_common(reg, 4, value); });
        if (vector) {
            set_common(R::queue_vector, 2, *vector);
            BOOST_TEST(common(R::queue_vector, 2) == *vector);
        }
        set_common(R::queue_enable, 2, 1);
    }

    /// All of it: one ring of 8 for each queue; with `msix` vector 0 for the configuration and n + 1 for queue n.
    void start(std::uint64_t features = feature_version_1, unsigned queues = 1, bool msix = true) {
        BOOST_REQUIRE(negotiate(features));
        rings.clear();
        if (msix) {
            enable_msix(queues + 1);
            set_common(R::config_vector, 2, 0);
        }
        for (unsigned index = 0; index < queues; ++index) {
            set_up_queue(index, add_ring(), msix ? std::optional(index + 1) : std::nullopt);
        }
        be_ready();
    }

    [[nodiscard]] bool interrupted() const { return surroundings.pins[irq].pin.level(); }
    /// The data of the messages since the last call.
    [[nodiscard]] std::vector<std::uint32_t> messages() { return std::exchange(controller.messages, {}); }

    NotingController controller;
    std::shared_ptr<NotingRange> range = std::make_shared<NotingRange>();
    std::shared_ptr<PciFunction> function;
    // Offsets: in the configuration space of MSI-X and of the window, in the BAR of the others.
    unsigned at_msix = 0, at_window = 0;
    unsigned at_common = 0, at_isr = 0, at_config = 0, at_notify = 0, notify_multiplier = 0;

private:
    void put_status(std::uint8_t value) override { set_common(R::status, 1, value); }
    [[nodiscard]] std::uint32_t get_status() override { return common(R::status, 1); }
    void put_features(unsigned half, std::uint32_t features) override {
        set_common(R::driver_features_select, 4, half);
        set_common(R::driver_features, 4, features);
    }

    static awaitable<void> read_config(std::shared_ptr<PciFunction> function, unsigned offset, unsigned size,
                                       std::uint32_t& value) {
        value = co_await function->read_config(offset, size);
    }

    void find_registers() {
        for (unsigned at = config(0x34, 1); at != 0; at = config(at + 1, 1)) {
            const std::uint32_t id = config(at, 1), kind = config(at + 3, 1), offset = config(at + 8, 4);
            if (id == 0x11) at_msix = at;
            if (id != 0x09) continue;
            BOOST_TEST(config(at + 4, 1) == 0u);  // the BAR
            if (kind == 1) at_common = offset;
            if (kind == 2) at_notify = offset, notify_multiplier = config(at + 16, 4);
            if (kind == 3) at_isr = offset;
            if (kind == 4) at_config = offset;
            if (kind == 5) at_window = at;
        }
    }

    static Access access_of(unsigned offset, unsigned size) {
        return {.space = Space::memory,
                .size = static_cast<std::uint8_t>(size),
                .address = bar + offset,
                .offset = offset,
                .data = 0};
    }
};

}  // namespace asyncvm::virtio
