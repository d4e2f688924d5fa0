/// A driver of a virtio-pci device without a machine: it finds the registers by the capabilities, as Linux does, and one
/// loop runs the accesses and the device.
#pragma once

#include <asyncvm/error.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../devices/surroundings.hpp"
#include "ring_driver.hpp"
#include "virtio/device_state.hpp"
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

class PciDriver {
public:
    using R = PciRegisters;
    static constexpr unsigned irq = 11;
    static constexpr std::uint32_t bar = 0xc000'0000;
    static constexpr std::uint64_t ram = 0x40000;

    explicit PciDriver(std::shared_ptr<Device> of) : function(make_pci(std::move(of))) {
        function->plug({.bar = bar, .irq = irq, .range = range, .first_line = 100, .lines = 2});
        function->attached({.memory = memory,
                            .loop = loop,
                            .log = [this](std::string_view line) { log.emplace_back(line); },
                            .clock = surroundings.clock,
                            .random = surroundings.random,
                            .gate = surroundings.gate,
                            .irq = [this](unsigned line) { return IrqLine(surroundings.pins.at(line).pin); },
                            .interrupts = &controller});
        asio::co_spawn(loop, function->run(), [](std::exception_ptr) {});
        poll();
        find_registers();
    }

    PciDriver(const PciDriver&) = delete;
    PciDriver& operator=(const PciDriver&) = delete;
    /// What the loop holds goes first.
    ~PciDriver() { own_loop_.reset(); }

    void poll() {
        loop.restart();
        loop.poll();
    }
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

    /// Up to FEATURES_OK. Returns whether the device takes the features.
    bool negotiate(std::uint64_t features) {
        set_common(R::status, 1, 0);
        BOOST_TEST(common(R::status, 1) == 0u);
        set_common(R::status, 1, DeviceState::acknowledge);
        set_common(R::status, 1, DeviceState::acknowledge | DeviceState::driver);
        for (const unsigned half : {0u, 1u}) {
            set_common(R::driver_features_select, 4, half);
            set_common(R::driver_features, 4, static_cast<std::uint32_t>(features >> (32 * half)));
        }
        set_common(R::status, 1, negotiated_status);
        return common(R::status, 1) == negotiated_status;
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
        for (const auto& [reg, address] :
             {std::pair{R::queue_descriptors, ring.descriptors()}, std::pair{R::queue_available, ring.available()},
              std::pair{R::queue_used, ring.used()}}) {
            set_common(reg, 4, static_cast<std::uint32_t>(address));
            set_common(reg + 4, 4, static_cast<std::uint32_t>(address >> 32));
        }
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
            memory.zero(0x1000 * (index + 1), 0x1000);
            rings.push_back(std::make_unique<RingDriver>(memory, 0x1000 * (index + 1), std::uint16_t{8}));
            set_up_queue(index, *rings.back(), msix ? std::optional(index + 1) : std::nullopt);
        }
        set_common(R::status, 1, negotiated_status | DeviceState::driver_ok);
    }

    [[nodiscard]] RingDriver& ring(unsigned index = 0) { return *rings.at(index); }
    [[nodiscard]] bool interrupted() const { return surroundings.pins[irq].pin.level(); }
    /// The data of the messages since the last call.
    [[nodiscard]] std::vector<std::uint32_t> messages() { return std::exchange(controller.messages, {}); }

    [[nodiscard]] std::vector<std::byte> saved() const {
        StateWriter writer;
        function->save(writer);
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    void restore(std::span<const std::byte> bytes) {
        StateReader reader(bytes);
        function->restore(reader);
        poll();
    }

    static constexpr std::uint32_t negotiated_status =
        DeviceState::acknowledge | DeviceState::driver | DeviceState::features_ok;

private:
    std::unique_ptr<asio::io_context> own_loop_ = std::make_unique<asio::io_context>(1);

public:
    asio::io_context& loop = *own_loop_;
    Surroundings surroundings{loop};
    GuestMemory memory{ram};
    NotingController controller;
    std::shared_ptr<NotingRange> range = std::make_shared<NotingRange>();
    std::vector<std::string> log;
    std::shared_ptr<PciFunction> function;
    std::vector<std::unique_ptr<RingDriver>> rings;
    // Offsets: in the configuration space of MSI-X and of the window, in the BAR of the others.
    unsigned at_msix = 0, at_window = 0;
    unsigned at_common = 0, at_isr = 0, at_config = 0, at_notify = 0, notify_multiplier = 0;

private:
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
