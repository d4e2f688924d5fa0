// Every device of the catalogue: what is saved and restored goes on as the original does.
#define BOOST_TEST_MODULE save_restore
#include <asyncvm/devices.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bus/io_bus.hpp"
#include "device_runner.hpp"
#include "devices/uart16550_registers.hpp"
#include "fake_chardev.hpp"
#include "surroundings.hpp"

using namespace asyncvm;
using namespace std::chrono_literals;
using R = Uart16550Registers;

namespace {

constexpr unsigned irq = 4;

std::vector<std::byte> saved(Device& device) {
    StateWriter writer;
    device.save(writer);
    return {writer.bytes().begin(), writer.bytes().end()};
}

/// A device with everything around it.
struct Station {
    explicit Station(const std::string& kind) {
        const DeviceHost host{
            .ports = ports,
            .mmio = mmio,
            .finish = [this](const Outcome& outcome) { seen.push_back(static_cast<unsigned>(outcome.guest_code)); },
            .open_chardev = [this](std::string_view) { return chardev; },
            // A line that comes once in a device's life depends on more than its state.
            .log =
                [this, kind](std::string_view line) {
                    if (kind != "acpi-pm" && kind != "pvpanic") seen.push_back(line.size());
                },
        };
        add_device(host, kind);
        device = ports.devices().front();
        device->attached(surroundings.context());
        background.start(device->run());
        background.poll();
    }

    void restore(std::span<const std::byte> bytes) {
        StateReader reader(bytes);
        device->restore(reader);
        BOOST_REQUIRE(reader.next().empty());
        background.poll();
    }

    /// `place` counts through all addresses of the device, and begins again behind the last one.
    std::uint64_t access(bool write, unsigned place, unsigned size, std::uint64_t value) {
        const auto ranges = ports.ranges();
        std::uint64_t all = 0;
        for (const auto& [range, _] : ranges) all += range.size;
        std::uint64_t offset = place % all;
        auto at = ranges.begin();
        for (; offset >= at->range.size; ++at) offset -= at->range.size;
        size = std::min(size, device->max_access_size());
        while (!at->range.whole && offset + size > at->range.size) size /= 2;  // the bus would split it
        Access access = DeviceRunner::make_access(at->range.first + offset, size, value & all_ones(size));
        access.offset = offset;
        if (!write) access.data = 0;
        vcpu.start(write ? device->write(access) : device->read(access));
        for (int turn = 0; turn < 3 && !vcpu.done(); ++turn) {
            if (turn > 0) surroundings.clock.advance(1h);  // a sleep
            vcpu.poll();
        }
        BOOST_REQUIRE(vcpu.done());
        BOOST_REQUIRE(!vcpu.failed());
        background.poll();
        return access.data;
    }

    /// A bit an interrupt line.
    [[nodiscard]] std::uint64_t levels() const {
        std::uint64_t bits = 0;
        for (const auto& pin : surroundings.pins) bits = bits << 1 | (pin.pin.level() ? 1 : 0);
        return bits;
    }

    // The loops of the runners last, so that waiting coroutines are destroyed while the device lives.
    asio::io_context loop{1};
    std::shared_ptr<DeviceSlots> slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports{Space::port, slots};
    IoBus mmio{Space::memory, slots};
    Surroundings surroundings{loop};
    std::shared_ptr<FakeChardev> chardev = std::make_shared<FakeChardev>(1 << 20);
    std::vector<std::uint64_t> seen;
    std::shared_ptr<Device> device;
    DeviceRunner vcpu;
    DeviceRunner background;
};

/// One of the things that can happen to a device, chosen once and done to any number of them.
std::function<void(Station&)> random_step(std::mt19937& random) {
    const auto offset = random() % 256;
    const auto value = random();
    switch (random() % 16) {
        case 0:
            return
                [value](Station& station) { station.chardev->type(std::string(1 + value % 20, static_cast<char>(value))); };
        case 1:
            return [value](Station& station) { station.chardev->set_connected(value % 2 == 0); };
        case 2:
            return [value](Station& station) { station.surroundings.clock.advance(value % 1000 * 1us); };
        case 3:
            if (value % 8 != 0) return random_step(random);
            return [](Station& station) { station.device->reset(); };
        case 4:
            // Without the divisor latch, and with interrupts: what a driver does.
            return [value](Station& station) {
                if (station.device->name() != "uart16550") return;
                station.access(true, R::line_control, 1, value & 0x7f);
                station.access(true, R::interrupt_enable, 1, (value >> 8) & 0xff);
            };
        case 5:
        case 6:
        case 7:
        case 8:
            return [offset, value](Station& station) { station.access(true, offset, 1, value & 0xff); };
        case 9:
            return [offset, value](Station& station) { station.access(true, offset, 1U << (value % 3), value); };
        case 10:
            return [offset, value](Station& station) {
                station.seen.push_back(station.access(false, offset, 1U << (value % 3), 0));
            };
        case 11:
            return [value](Station& station) { station.surroundings.clock.advance(value % 2000 * 1ms); };
        default:
            return [offset](Station& station) { station.seen.push_back(station.access(false, offset, 1, 0)); };
    }
}

void do_step(Station& station, const std::function<void(Station&)>& step) {
    step(station);
    station.background.poll();
    station.seen.push_back(station.levels());
    for (const char c : station.chardev->take()) station.seen.push_back(static_cast<unsigned char>(c));
}

using Registers = R;

const std::vector<std::string> kinds{"uart16550", "counter",       "debugcon",
                                     "exit",      "post,trace=on", "sleep",
                                     "power",     "pci-config",    "pci-config,mechanism=on",
                                     "port92",    "port61",        "acpi-pm",
                                     "i8042",     "rtc",           "fw_cfg",
                                     "pvpanic",   "testdev",       "crtc"};

}  // namespace

BOOST_AUTO_TEST_CASE(a_restored_device_goes_on_as_the_original) {
    std::mt19937 random(20260104);  // NOLINT: the same sequence each time
    for (const auto& kind : kinds) {
        for (int round = 0; round < 60; ++round) {
            Station original(kind);
            for (auto steps = random() % 200; steps > 0; --steps) do_step(original, random_step(random));
            const auto bytes = saved(*original.device);

            Station restored(kind);
            // The same world, which is not the device's to save.
            restored.chardev->type(original.chardev->unread_text());
            restored.chardev->set_connected(original.chardev->connected());
            restored.surroundings.clock.advance(1h);
            restored.surroundings.clock.set_time_of_day(original.surroundings.clock.time_of_day());
            restored.restore(bytes);
            BOOST_TEST_REQUIRE((saved(*restored.device) == bytes));
            BOOST_TEST_REQUIRE(restored.levels() == original.levels());

            original.seen.clear();
            restored.seen.clear();
            for (int steps = 0; steps < 100; ++steps) {
                const auto step = random_step(random);
                do_step(original, step);
                do_step(restored, step);
                BOOST_TEST_REQUIRE(original.seen == restored.seen, kind << ", round " << round << ", step " << steps);
            }
            BOOST_TEST_REQUIRE((saved(*restored.device) == saved(*original.device)));
        }
    }
}

BOOST_AUTO_TEST_CASE(restored_registers_answer_as_the_original_ones) {
    const auto step = [](R& uart, unsigned what, unsigned offset, std::uint8_t value) {
        std::vector<unsigned> seen;
        switch (what) {
            case 0:
            case 1:
            case 2:
                seen.push_back(uart.write(offset, value).value_or(0));
                break;
            case 3:
                static_cast<void>(uart.write(R::line_control, value & 0x7fU));
                break;
            case 4:
                uart.receive(value);
                break;
            case 5:
                uart.receive_timeout();
                break;
            case 6:
                uart.set_modem_lines({(value & 1U) != 0, (value & 2U) != 0, (value & 4U) != 0, (value & 8U) != 0});
                break;
            case 7:
                uart.set_transmitter_ready(value % 2 == 0);
                break;
            default:
                seen.push_back(uart.read(offset));
                break;
        }
        seen.push_back(uart.interrupt_pending() ? 1 : 0);
        seen.push_back(uart.timeout_running() ? 1 : 0);
        seen.push_back(static_cast<unsigned>(uart.wanted()));
        seen.push_back(static_cast<unsigned>(uart.character_time().count()));
        return seen;
    };
    std::mt19937 random(20260105);  // NOLINT: the same sequence each time
    Registers original;
    for (int round = 0; round < 3000; ++round) {
        for (auto steps = random() % 20; steps > 0; --steps) {
            static_cast<void>(step(original, random() % 12, random() % 8, static_cast<std::uint8_t>(random())));
        }
        StateWriter writer;
        save_state(writer, "uart", original);
        Registers restored;
        StateReader reader(writer.bytes());
        restore_state(reader, "uart", restored);
        for (int steps = 0; steps < 60; ++steps) {
            const auto what = random() % 12;
            const auto offset = random() % 8;
            const auto value = static_cast<std::uint8_t>(random());
            BOOST_TEST_REQUIRE((step(original, what, offset, value) == step(restored, what, offset, value)));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_character_timeout_runs_on_where_it_was) {
    Station original("uart16550");
    original.access(true, R::line_control, 1, 0x83);
    original.access(true, R::data, 1, 24);  // 4800 baud: four characters of 10 bits are 8.333 ms
    original.access(true, R::line_control, 1, 0x03);
    original.access(true, R::identification, 1, 0xc1);
    original.access(true, R::interrupt_enable, 1, R::ier_received_data);
    original.chardev->type("ab");
    original.background.poll();
    original.surroundings.clock.advance(5ms);
    original.background.poll();

    Station restored("uart16550");
    restored.surroundings.clock.advance(1000h);
    restored.restore(saved(*original.device));
    restored.surroundings.clock.advance(3333us);
    restored.background.poll();
    BOOST_TEST(!restored.surroundings.pins[irq].pin.level());
    restored.surroundings.clock.advance(1us);
    restored.background.poll();
    BOOST_TEST(restored.surroundings.pins[irq].pin.level());
    BOOST_TEST(restored.access(false, R::data, 1, 0) == unsigned{'a'});
}

BOOST_AUTO_TEST_CASE(damaged_state_is_refused_or_gives_a_device_that_works) {
    std::mt19937 random(20260106);  // NOLINT: the same sequence each time
    for (const auto& kind : kinds) {
        Station station(kind);
        for (int steps = 0; steps < 100; ++steps) do_step(station, random_step(random));
        const auto bytes = saved(*station.device);
        unsigned refused = 0;
        for (int round = 0; round < 3000; ++round) {
            auto damaged = bytes;
            for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
                damaged[random() % damaged.size()] = static_cast<std::byte>(random());
            }
            try {
                StateReader reader(damaged);
                station.device->restore(reader);
                for (int steps = 0; steps < 5; ++steps) do_step(station, random_step(random));
            } catch (const Error& error) {
                BOOST_REQUIRE(error.kind() == ErrorKind::usage);
                ++refused;
            }
        }
        BOOST_TEST(refused > 0u);
    }
}

BOOST_AUTO_TEST_CASE(the_state_of_another_device_is_refused_and_changes_nothing) {
    Station counter("counter");
    Station post("post");
    post.access(true, 0, 1, 0x41);
    const auto bytes = saved(*counter.device);
    StateReader reader(bytes);
    BOOST_CHECK_EXCEPTION(post.device->restore(reader), Error, [](const Error& error) {
        BOOST_TEST(error.what() == "the saved state of post is missing: here is the state of counter");
        return error.kind() == ErrorKind::usage;
    });
    BOOST_TEST(post.access(false, 0, 1, 0) == 0x41u);
}

BOOST_AUTO_TEST_CASE(a_device_that_does_not_say_what_its_state_is_can_not_be_saved) {
    class Silent final : public Device {
    public:
        [[nodiscard]] std::string_view name() const noexcept override { return "silent"; }
        [[nodiscard]] awaitable<void> write(const Access&) override { co_return; }
        [[nodiscard]] awaitable<void> read(Access&) override { co_return; }
    };
    Silent device;
    BOOST_CHECK_EXCEPTION((void)saved(device), Error, [](const Error& error) {
        BOOST_TEST(error.what() == "device silent can't be saved: it does not say what its state is");
        return error.kind() == ErrorKind::usage;
    });
    StateWriter writer;
    StateReader reader(writer.bytes());
    BOOST_CHECK_THROW(device.restore(reader), Error);
}
