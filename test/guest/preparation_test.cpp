// Machines that are made while their devices are set up, with a real accelerator.
#define BOOST_TEST_MODULE guest_preparation
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "bare_machine.hpp"
#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Prepared from the start; its guest asks CPUID for the highest leaf, which `device` gets from each vCPU.
struct Asking {
    explicit Asking(asio::io_context& loop) : machine(loop, 2, make_accelerator_under_test) {
        // xor %eax, %eax; cpuid; out %eax, $0x10; hlt
        machine.load({0x66, 0x31, 0xc0, 0x0f, 0xa2, 0x66, 0xe7, 0x10, 0xf4});
        machine.machine.prepare();
        machine.machine.ports().attach({0x10, 4}, device);
    }
    std::shared_ptr<Recorder> device = std::make_shared<Recorder>();
    TestMachine machine;
};

}  // namespace

BOOST_AUTO_TEST_CASE(machines_that_are_made_at_once_see_what_one_sees_that_is_made_after_them) {
    asio::io_context loop(1);
    std::vector<std::uint64_t> leaves;
    for (const std::size_t count : {4U, 1U}) {
        std::vector<std::unique_ptr<Asking>> asking;
        for (std::size_t i = 0; i < count; ++i) asking.push_back(std::make_unique<Asking>(loop));
        for (const auto& one : asking) one->machine.start();
        loop.restart();
        loop.run_for(patience);
        for (const auto& one : asking) {
            BOOST_REQUIRE(!one->machine.failure);
            BOOST_REQUIRE(one->machine.outcome);
            BOOST_TEST((one->machine.outcome->kind == Outcome::Kind::halted));
            for (const Access& access : one->device->accesses) leaves.push_back(access.data);
        }
    }
    BOOST_REQUIRE(leaves.size() == 10u);
    BOOST_TEST(leaves.front() != 0u);
    BOOST_TEST(std::ranges::count(leaves, leaves.front()) == 10);
}

BOOST_AUTO_TEST_CASE(registers_can_be_asked_for_and_set_before_and_after_it_is_made) {
    asio::io_context loop(1);
    TestMachine test(loop, 1, make_accelerator_under_test);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe6, 0x10, 0xf4});  // out %al, $0x10; hlt
    test.registers.rax = 1;
    test.machine.set_registers(0, test.registers);
    test.machine.prepare();
    BOOST_TEST(test.machine.registers(0).rax == 1u);
    test.registers.rax = 2;
    test.machine.set_registers(0, test.registers);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 1u);
    BOOST_TEST(device->accesses[0].data == 2u);
}

// KVM's maker may get memory, which is there at once; Unicorn's gets none.
BOOST_AUTO_TEST_CASE(map_adds_the_memory_that_the_maker_did_not_get) {
    const bool gets_some = make_accelerator_under_test()->name() == "kvm";
    GuestMemory memory(1 << 20);
    for (const bool irqchip : {false, true}) {
        const std::vector<GuestMemory::Region> at_start = memory.regions();
        const auto accelerator =
            gets_some ? make_kvm_accelerator({.irqchip = irqchip, .memory = at_start}) : make_accelerator_under_test();
        const auto cpu = accelerator->create_cpu(0);
        Registers registers = cpu->registers();
        const auto run_at = [&](std::uint64_t address) {
            constexpr std::array code{std::byte{0xe6}, std::byte{0x10}};  // out %al, $0x10
            memory.write(address, code);
            registers.cs.base = address;
            registers.rip = 0;
            cpu->set_registers(registers);
            TimeLimit limit(*cpu);
            const bool is_out = std::holds_alternative<PortAccess>(cpu->run());
            cpu->complete_exit();
            return is_out;
        };
        if (gets_some) BOOST_TEST(run_at(0x1000));
        static_cast<void>(memory.boot_tables());
        accelerator->map(memory);
        BOOST_TEST(run_at(0x2000));
        BOOST_TEST(run_at(GuestMemory::boot_tables_base));
    }
}
