// A guest with a virtio device is cut in the middle of its requests, and goes on in another machine.
#define BOOST_TEST_MODULE virtio_state
#include <asyncvm/board.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../unit/virtio/fake_disk.hpp"
#include "accelerator_under_test.hpp"
#include "pause_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// What the guest sends is a text.
class Printer final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "printer"; }
    void attached(const DeviceContext&) override { is_attached = true; }
    [[nodiscard]] awaitable<void> write(const Access& access) override {
        text += static_cast<char>(access.data);
        co_return;
    }
    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

    std::string text;
    bool is_attached = false;
};

/// An entropy device whose bytes are all 1, and come when it is released.
class HeldEntropy final : public virtio::Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "held-entropy"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 4; }
    [[nodiscard]] std::vector<virtio::QueueShape> queues() const override { return {{.size = 8}}; }
    [[nodiscard]] awaitable<void> serve(virtio::Queue& queue) override {
        for (;;) {
            const auto seen = released.generation();
            virtio::Chain chain = co_await queue.pop();
            ++requests;
            const bool go_on = co_await released.wait(seen);
            std::array<std::byte, 32> bytes{};
            bytes.fill(std::byte{1});
            const auto written = go_on ? chain.write(0, bytes) : 0;
            queue.push(std::move(chain), written);
        }
    }

    Event released;
    unsigned requests = 0;
};

/// A guest of the build's.
std::vector<std::byte> guest(const std::string& name) {
    const char* const folder = std::getenv("GUESTS");
    BOOST_REQUIRE_MESSAGE(folder != nullptr, "GUESTS is not set");
    std::ifstream file(std::string(folder) + "/" + name + ".bin", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    BOOST_REQUIRE(!text.empty());
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

struct Saved {
    std::vector<std::vector<std::byte>> memory;  ///< region by region
    CpuState cpu;
    std::vector<std::byte> devices;
};

/// A guest that polls, with devices whose state is saved.
struct SavedMachine : Fixture {
    explicit SavedMachine(const std::string& name) {
        test.machine.ports().attach({.first = 0xe9}, printer);
        test.load(guest(name), Mode::protected32);
    }

    /// In a pause.
    Saved save() {
        const Pause held = pause();
        Saved saved;
        for (const auto& region : test.machine.memory().regions()) {
            saved.memory.emplace_back(region.bytes.begin(), region.bytes.end());
        }
        await(test.machine.call(0, [&saved](Cpu& cpu) { saved.cpu = cpu.save_state(); }));
        StateWriter writer;
        for (const auto& each : devices) each->save(writer);
        saved.devices.assign(writer.bytes().begin(), writer.bytes().end());
        return saved;
    }

    /// In a pause that began before the guest's first instruction.
    void restore(const Saved& saved) {
        const Pause held = pause();
        test.start();
        until([this] { return printer->is_attached; });
        const auto& regions = test.machine.memory().regions();
        BOOST_REQUIRE(regions.size() == saved.memory.size());
        for (std::size_t i = 0; i < saved.memory.size(); ++i) {
            test.machine.memory().write(regions[i].address, saved.memory[i]);
        }
        await(test.machine.call(0, [&saved](Cpu& cpu) { cpu.restore_state(saved.cpu); }));
        StateReader reader(saved.devices);
        for (const auto& each : devices) each->restore(reader);
    }

    void check_end(std::string_view text) {
        until([this] { return test.outcome || test.failure; });
        BOOST_REQUIRE(test.outcome.has_value());
        BOOST_TEST((test.outcome->kind == Outcome::Kind::halted), test.outcome->summary);
        BOOST_TEST(printer->text == text);
    }

    std::vector<std::shared_ptr<Device>> devices;
    std::shared_ptr<Printer> printer = std::make_shared<Printer>();
};

/// The guest reads, writes, flushes and reads, one request after the other; the disk holds each until it is released.
struct DiskMachine : SavedMachine {
    DiskMachine() : SavedMachine("virtio-blk") {
        disk->hold();
        devices.push_back(virtio::make_mmio(virtio::make_blk(disk, "", 1), std::nullopt));
        test.machine.mmio().attach({.first = 0xfeb0'0000, .size = virtio::mmio_size}, devices.back());
    }

    void wait_for_request(std::size_t number) {
        until([this, number] { return disk->calls.size() == number && disk->under_way == 1; });
    }
    void end() {
        test.machine.stop();
        disk->release();
        until([this] { return test.outcome || test.failure; });
    }

    std::shared_ptr<FakeDisk> disk = std::make_shared<FakeDisk>();
};

/// The guest moves the BAR and makes one request.
struct PciMachine : SavedMachine {
    PciMachine() : SavedMachine("virtio-rng-pci") {
        const DeviceHost host{.ports = test.machine.ports(), .mmio = test.machine.mmio(), .finish = {}, .open_chardev = {}};
        const auto pci = add_pci_host(host);
        const auto function = virtio::make_pci(entropy);
        pci->add(1, function);
        const auto at = pci_slot(1);
        auto range = host.mmio.attach_movable(function->bar_size(), function);
        function->plug({.bar = at.bar, .irq = at.irq, .range = std::move(range)});
        devices = {pci, function};
    }

    void wait_for_request() {
        until([this] { return entropy->requests == 1; });
    }
    /// Whether the BAR is where the guest has put it.
    void check_bar() { BOOST_TEST(test.machine.mmio().device_name(0x0800'0000) == devices.back()->name()); }

    std::shared_ptr<HeldEntropy> entropy = std::make_shared<HeldEntropy>();
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_that_is_cut_in_each_of_its_requests_goes_on_in_another_machine) {
    auto machine = std::make_unique<DiskMachine>();
    for (std::size_t i = 0; i < machine->disk->bytes.size(); ++i) machine->disk->bytes[i] = static_cast<std::byte>(i * 7);
    machine->test.start();
    machine->wait_for_request(1);
    const std::vector<std::string> requests{"read", "write", "flush", "read"};
    for (std::size_t number = 0; number < requests.size(); ++number) {
        BOOST_TEST_CONTEXT("in request " << number) {
            BOOST_TEST(machine->disk->calls.back() == requests[number]);
            const Saved saved = machine->save();
            const auto bytes = machine->disk->bytes;
            BOOST_TEST(machine->disk->under_way == 1u);
            machine->end();
            machine = std::make_unique<DiskMachine>();
            machine->disk->bytes = bytes;
            machine->restore(saved);
            // The request that was under way is made again.
            machine->wait_for_request(1);
            BOOST_TEST(machine->disk->calls.back() == requests[number]);
            if (number + 1 == requests.size()) continue;
            machine->disk->release(1);
            machine->wait_for_request(2);
        }
    }
    machine->disk->release();
    machine->check_end("virtio-blk ok\n");
}

BOOST_AUTO_TEST_CASE(a_guest_that_has_moved_a_bar_is_cut_in_its_request_and_goes_on_in_another_machine) {
    PciMachine one;
    one.test.start();
    one.wait_for_request();
    one.check_bar();
    const Saved saved = one.save();
    one.stop();
    PciMachine other;
    other.restore(saved);
    other.check_bar();
    other.wait_for_request();
    other.entropy->released.notify();
    other.check_end("virtio-rng on PCI ok\n");
}
