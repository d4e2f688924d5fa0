// A guest with a virtio disk is cut in the middle of each of its requests, and goes on in another machine.
#define BOOST_TEST_MODULE virtio_state
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <boost/test/unit_test.hpp>

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

/// The guest virtio-blk: it reads, writes, flushes and reads, one request after the other, and polls.
std::vector<std::byte> guest() {
    const char* const folder = std::getenv("GUESTS");
    BOOST_REQUIRE_MESSAGE(folder != nullptr, "GUESTS is not set");
    std::ifstream file(std::string(folder) + "/virtio-blk.bin", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    BOOST_REQUIRE(!text.empty());
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

struct Saved {
    std::vector<std::vector<std::byte>> memory;  ///< region by region
    CpuState cpu;
    std::vector<std::byte> device;
    std::vector<std::byte> disk;
};

/// Its disk holds each request until it is released.
struct DiskMachine : Fixture {
    DiskMachine() {
        disk->hold();
        test.machine.mmio().attach({.first = 0xfeb0'0000, .size = virtio::mmio_size}, transport);
        test.machine.ports().attach({.first = 0xe9}, printer);
        test.load(guest(), Mode::protected32);
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
        transport->save(writer);
        saved.device.assign(writer.bytes().begin(), writer.bytes().end());
        saved.disk = disk->bytes;
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
        StateReader reader(saved.device);
        transport->restore(reader);
        disk->bytes = saved.disk;
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
    std::shared_ptr<Device> transport = virtio::make_mmio(virtio::make_blk(disk, "", 1), std::nullopt);
    std::shared_ptr<Printer> printer = std::make_shared<Printer>();
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
            BOOST_TEST(machine->disk->under_way == 1u);
            machine->end();
            machine = std::make_unique<DiskMachine>();
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
    machine->until([&] { return machine->test.outcome.has_value(); });
    BOOST_TEST((machine->test.outcome->kind == Outcome::Kind::halted), machine->test.outcome->summary);
    BOOST_TEST(machine->printer->text == "virtio-blk ok\n");
}
