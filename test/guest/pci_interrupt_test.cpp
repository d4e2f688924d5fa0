// A guest's virtio-pci device interrupts it, by its line and by MSI-X, and goes on when its BAR has moved.
#include <asyncvm/board.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/machine.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interrupt_code.hpp"
#include "machine_fixture.hpp"
#include "os/unique_fd.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

// The entropy device in slot 1 gets its BAR at 0x90000, behind the RAM, and one request. The interrupt's handler writes to
// port 0x50 what has interrupted (the ISR register's bits as a digit, 'M' for a message), and how many requests have come
// back; then it moves the BAR to 0x98000 and asks again, or ends the guest. Rings at 0x20000, 0x20400 and 0x20800.
asm(R"(
    .macro asyncvm_test_pci_config offset value
    mov $(0x80000800 + \offset), %eax
    mov $0xcf8, %dx
    out %eax, %dx
    mov $\value, %eax
    mov $0xcfc, %dx
    out %eax, %dx
    .endm

    .macro asyncvm_test_pci_guest msix
    asyncvm_test_pics 0xfb|(4*\msix), 0xf7
    asyncvm_test_vector 0x2b, 10f
    asyncvm_test_vector 0x40, 10f
    asyncvm_test_level_triggered 11

    asyncvm_test_pci_config 0x10 0x90000
    asyncvm_test_pci_config 0x04 6
    mov $0x2000, %ax
    mov %ax, %es
    mov $0x9000, %ax
    mov %ax, %fs
    movb $0, %fs:0x14
    movb $1, %fs:0x14
    movb $3, %fs:0x14
    movl $1, %fs:0x08
    movl $1, %fs:0x0c
    movb $0xb, %fs:0x14
    movw $4, %fs:0x18
    .if \msix
    asyncvm_test_x2apic
    asyncvm_test_pci_config 0x40 0x80000000
    movl $0xfee00000, %fs:0x4010
    movl $0x40, %fs:0x4018
    movl $0, %fs:0x401c
    movw $1, %fs:0x1a
    .endif
    movl $0x20000, %fs:0x20
    movl $0x20400, %fs:0x28
    movl $0x20800, %fs:0x30
    movw $1, %fs:0x1c
    movb $0xf, %fs:0x14
    movl $0x21000, %es:0
    movl $16, %es:8
    movl $2, %es:12
    movw $1, %es:0x402
    movw $0, %fs:0x3000
1:  sti
    hlt
    jmp 1b

10: mov $'M', %al
    .if \msix == 0
    mov %fs:0x1000, %al
    or $'0', %al
    .endif
    out %al, $0x50
    mov %es:0x802, %al
    or $'0', %al
    out %al, $0x50
    cmp $'2', %al
    je 11f
    .if \msix
    asyncvm_test_apic_eoi
    .else
    asyncvm_test_eoi 1
    .endif
    asyncvm_test_pci_config 0x10 0x98000
    mov $0x9800, %ax
    mov %ax, %fs
    movw $2, %es:0x402
    movw $0, %fs:0x3000
    iret
11: out %al, $0xf4
    .endm
)");

GUEST_CODE(line_guest, 16, "asyncvm_test_pci_guest 0")
GUEST_CODE(msix_guest, 16, "asyncvm_test_pci_guest 1")

namespace {

/// Port 0x50.
class Notes final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "notes"; }
    [[nodiscard]] awaitable<void> write(const Access& access) override {
        written += static_cast<char>(access.data);
        co_return;
    }
    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

    std::string written;
};

/// An entropy device whose bytes are all 1, and come after a while.
class SlowEntropy final : public virtio::Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "slow-entropy"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 4; }
    [[nodiscard]] std::vector<virtio::QueueShape> queues() const override { return {{.size = 8}}; }
    void attached(const DeviceContext& context) override { clock_ = &context.clock; }
    [[nodiscard]] awaitable<void> serve(virtio::Queue& queue) override {
        for (;;) {
            virtio::Chain chain = co_await queue.pop();
            // Much longer than the machine takes to see that a vCPU sleeps for good.
            co_await clock_->wait_until(clock_->now() + std::chrono::seconds(1));
            constexpr std::array bytes{std::byte{1}};
            const auto written = chain.write(0, bytes);
            queue.push(std::move(chain), written);
        }
    }

private:
    MachineClock* clock_ = nullptr;
};

/// Another process, played by a thread: it serves the ring of an entropy device whose bytes are what they were, and signals
/// its eventfd. Nobody in the device listens to that.
class EntropyElsewhere final : public virtio::Device {
public:
    EntropyElsewhere() = default;
    EntropyElsewhere(const EntropyElsewhere&) = delete;
    EntropyElsewhere& operator=(const EntropyElsewhere&) = delete;
    ~EntropyElsewhere() override { stop(); }

    [[nodiscard]] std::string_view name() const noexcept override { return "entropy-elsewhere"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 4; }
    [[nodiscard]] std::vector<virtio::QueueShape> queues() const override { return {{.size = 8}}; }
    void attached(const DeviceContext& context) override { memory_ = &context.memory; }
    [[nodiscard]] awaitable<void> serve(virtio::Queue&) override { co_return; }
    [[nodiscard]] bool hands_rings_over() const noexcept override { return true; }
    void take_ring(const virtio::RingSetup& ring) override {
        thread_ = std::jthread([this, ring](const std::stop_token& stopped) {
            for (std::uint16_t next = 0; !stopped.stop_requested();) {
                std::uint64_t times = 0;
                if (::read(kick_.get(), &times, sizeof times) != sizeof times) return;
                for (; next != memory_->load_acquire<std::uint16_t>(ring.available + 2).value(); ++next) {
                    const std::uint64_t place = ring.used + 4 + 8 * (next % ring.size);
                    memory_->store_release(place, std::uint32_t{0});
                    memory_->store_release(place + 4, std::uint32_t{16});
                    memory_->store_release(ring.used + 2, static_cast<std::uint16_t>(next + 1));
                    signal(call_);
                }
            }
        });
    }
    [[nodiscard]] awaitable<void> return_ring(unsigned) override {
        stop();
        co_return;
    }
    [[nodiscard]] int notification(unsigned) const noexcept override { return kick_.get(); }
    [[nodiscard]] int call(unsigned) const noexcept override { return call_.get(); }

private:
    static void signal(const UniqueFd& event) {
        const std::uint64_t once = 1;
        static_cast<void>(::write(event.get(), &once, sizeof once));
    }
    void stop() {
        thread_.request_stop();
        signal(kick_);
        if (thread_.joinable()) thread_.join();
    }

    GuestMemory* memory_ = nullptr;
    const UniqueFd kick_{::eventfd(0, EFD_CLOEXEC)};
    const UniqueFd call_{::eventfd(0, EFD_CLOEXEC)};
    std::jthread thread_;
};

void check_pci_interrupts(std::span<const std::byte> code, std::string_view expected,
                          std::shared_ptr<virtio::Device> device = virtio::make_rng()) {
    asio::io_context loop{1};
    TestMachine test(loop, 1, make_kvm_accelerator({.irqchip = true}),
                     [](MachineConfig& config) { config.memory_size = 0x8'0000; });
    Machine& machine = test.machine;
    const DeviceHost host{.ports = machine.ports(), .mmio = machine.mmio(), .finish = {}, .open_chardev = {}};
    const auto pci = add_pci_host(host);
    add_pci_virtio_device(host, *pci, 1, std::move(device));
    const auto notes = std::make_shared<Notes>();
    machine.ports().attach({.first = 0x50}, notes);
    machine.ports().attach({.first = 0xf4}, make_exit_port([&machine](Outcome outcome) { machine.finish(outcome); }));
    machine.set_registers(0, load_flat(machine.memory(), {.path = "test guest", .bytes = code}).registers);
    const auto outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::exited), outcome.summary);
    BOOST_TEST(notes->written == expected);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_pci_device_interrupts_by_its_line_and_its_bar_moves, REQUIRES("irq-wake")) {
    check_pci_interrupts(line_guest(), "1112");
}

BOOST_AUTO_TEST_CASE(a_pci_device_interrupts_by_msix_and_its_bar_moves, REQUIRES("irq-wake")) {
    check_pci_interrupts(msix_guest(), "M1M2");
}

BOOST_AUTO_TEST_CASE(who_serves_a_ring_elsewhere_interrupts_the_guest_without_this_program, REQUIRES("irq-wake")) {
    check_pci_interrupts(msix_guest(), "M1M2", std::make_shared<EntropyElsewhere>());
}

BOOST_AUTO_TEST_CASE(a_guest_that_sleeps_until_a_message_comes_has_not_halted, REQUIRES("irq-wake")) {
    check_pci_interrupts(msix_guest(), "M1M2", std::make_shared<SlowEntropy>());
}
