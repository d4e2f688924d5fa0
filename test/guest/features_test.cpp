#define BOOST_TEST_MODULE features
#include "../unit/bus/devices.hpp"
#include "accel/kvm/cpu_features.hpp"
#include "kvm_or_skip.hpp"
#include "machine_fixture.hpp"
#include "probe/codes.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

namespace {

/// A whole machine runs the guest; what it writes to the verdict port must arrive at a device.
struct Features {
    asio::io_context loop{1};

    Outcome run(probe::Code code, Mode mode) {
        TestMachine test(loop);
        test.machine.ports().attach({probe::verdict_port, 1}, device);
        FlatGuest guest;
        guest.path = "a probe's guest";
        guest.bytes = code;
        guest.mode = mode;
        test.machine.set_registers(0, load_flat(test.machine.memory(), guest).registers);
        return test.run();
    }

    void expect_verdict(probe::Code code, Mode mode) {
        const auto outcome = run(code, mode);
        BOOST_TEST((outcome.kind == Outcome::Kind::halted), outcome.summary);
        BOOST_REQUIRE(device->accesses.size() == 1u);
        BOOST_TEST(device->accesses[0].data == 1u);
    }

    std::shared_ptr<Recorder> device = std::make_shared<Recorder>();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(guests_with, Features)

BOOST_AUTO_TEST_CASE(interrupts_in_real_mode, REQUIRES("int-real")) {
    expect_verdict(probe::code::int_real(), Mode::real16);
}

BOOST_AUTO_TEST_CASE(interrupts_in_32_bits, REQUIRES("int-32")) { expect_verdict(probe::code::int_32(), Mode::protected32); }

BOOST_AUTO_TEST_CASE(interrupts_in_64_bits, REQUIRES("int-64")) { expect_verdict(probe::code::int_64(), Mode::long64); }

BOOST_AUTO_TEST_CASE(breakpoints_of_their_own, REQUIRES("int3-64")) { expect_verdict(probe::code::int3_64(), Mode::long64); }

BOOST_AUTO_TEST_CASE(paging_in_32_bits, REQUIRES("paging-32")) {
    expect_verdict(probe::code::paging_32(), Mode::protected32);
}

BOOST_AUTO_TEST_CASE(paging_with_pae, REQUIRES("paging-pae")) {
    expect_verdict(probe::code::paging_pae(), Mode::protected32);
}

BOOST_AUTO_TEST_CASE(their_own_way_to_long_mode, REQUIRES("enter-long-mode")) {
    expect_verdict(probe::code::enter_long_mode(), Mode::protected32);
}

BOOST_AUTO_TEST_CASE(sse, REQUIRES("sse")) { expect_verdict(probe::code::sse(), Mode::long64); }

BOOST_AUTO_TEST_CASE(x87, REQUIRES("x87")) { expect_verdict(probe::code::x87(), Mode::long64); }

BOOST_AUTO_TEST_CASE(popcnt, REQUIRES("popcnt")) { expect_verdict(probe::code::popcnt(), Mode::long64); }

BOOST_AUTO_TEST_CASE(hypercalls, REQUIRES("vmcall")) { expect_verdict(probe::code::vmcall(), Mode::long64); }

BOOST_AUTO_TEST_SUITE_END()

/// After the verdict both guests go on into a second write, of 0, and halt in ring 0.
BOOST_FIXTURE_TEST_SUITE(ring_3, Features)

BOOST_AUTO_TEST_CASE(an_interrupt_returns_to_the_kernel, REQUIRES("ring3-int")) {
    const auto outcome = run(probe::code::ring3_int(), Mode::long64);
    BOOST_TEST((outcome.kind == Outcome::Kind::halted), outcome.summary);
    BOOST_REQUIRE(device->accesses.size() == 2u);
    BOOST_TEST(device->accesses[0].data == 1u);
}

BOOST_AUTO_TEST_CASE(a_system_call_and_its_return, REQUIRES("ring3-syscall")) {
    const auto outcome = run(probe::code::ring3_syscall(), Mode::long64);
    BOOST_TEST((outcome.kind == Outcome::Kind::halted), outcome.summary);
    BOOST_REQUIRE(device->accesses.size() == 2u);
    BOOST_TEST(device->accesses[0].data == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(cpuid, Features)

struct Leaf1 {
    std::uint64_t ecx;
    std::uint64_t edx;
};

/// What a guest's CPUID says.
Leaf1 leaf_1(asio::io_context& loop, const char* cpu_features) {
    MachineConfig config;
    config.memory_size = 1 << 20;
    Machine machine(config, make_kvm_accelerator({.cpu_features = cpu_features}), loop);
    const auto ecx = std::make_shared<Recorder>();
    const auto edx = std::make_shared<Recorder>();
    machine.ports().attach({0x50, 4}, ecx);
    machine.ports().attach({0x54, 4}, edx);
    FlatGuest guest;
    guest.path = "a probe's guest";
    guest.bytes = probe::code::cpuid();
    guest.mode = Mode::long64;
    auto registers = load_flat(machine.memory(), guest).registers;
    registers.rbx = 1;
    machine.set_registers(0, registers);
    std::exception_ptr failure;
    asio::co_spawn(loop, machine.run(),
                   [&failure](std::exception_ptr error, const Outcome&) { failure = std::move(error); });
    loop.restart();
    loop.run_for(patience);
    if (failure) std::rethrow_exception(failure);
    BOOST_REQUIRE(ecx->accesses.size() == 1u);
    BOOST_REQUIRE(edx->accesses.size() == 1u);
    return {ecx->accesses[0].data, edx->accesses[0].data};
}

std::uint64_t leaf_1_ecx(asio::io_context& loop, const char* cpu_features) { return leaf_1(loop, cpu_features).ecx; }

constexpr std::uint64_t cx16_bit = 1u << 13;
constexpr std::uint64_t popcnt_bit = 1u << 23;

BOOST_AUTO_TEST_CASE(a_masked_feature_is_gone_and_its_neighbours_stay) {
    const auto full = leaf_1_ecx(loop, "");
    const auto masked = leaf_1_ecx(loop, "-cx16");
    BOOST_TEST((full & cx16_bit) != 0u);
    BOOST_TEST(masked == (full & ~cx16_bit));
}

BOOST_AUTO_TEST_CASE(a_mask_holds_or_is_refused) {
    for (const char* const mask : {"-popcnt,-sse3", "-sse", "-apic,-x2apic", "-x2apic", "-cx16", "-avx", "-hypervisor"}) {
        BOOST_TEST_CONTEXT(mask) {
            const auto changes = kvm::parse_cpu_features(mask);
            std::vector<kvm_cpuid_entry2> all(1);
            all[0].function = 1;
            all[0].ecx = all[0].edx = ~0u;
            kvm::apply_cpu_features(all, changes);
            try {
                const auto [ecx, edx] = leaf_1(loop, mask);
                BOOST_TEST((ecx & ~all[0].ecx) == 0u);
                BOOST_TEST((edx & ~all[0].edx) == 0u);
            } catch (const Error& error) {
                BOOST_TEST((error.kind() == ErrorKind::host));
                BOOST_TEST(std::string_view(error.what()).find("still shows") != std::string_view::npos, error.what());
            }
        }
    }
    // These can be masked on every KVM.
    BOOST_CHECK_NO_THROW(static_cast<void>(make_kvm_accelerator({.cpu_features = "-cx16,-apic,-x2apic,-hypervisor"})));
}

BOOST_AUTO_TEST_CASE(a_machine_has_the_local_apic_that_its_cpuid_shows) {
    const auto refused = [](const char* features, bool irqchip, const char* words) {
        BOOST_CHECK_EXCEPTION(static_cast<void>(make_kvm_accelerator({.cpu_features = features, .irqchip = irqchip})), Error,
                              [words](const Error& error) {
                                  BOOST_TEST(std::string_view(error.what()).find(words) != std::string_view::npos,
                                             error.what());
                                  return error.kind() == ErrorKind::usage;
                              });
    };
    refused("+apic", false, "+apic: this machine has no local APIC");
    refused("+x2apic", false, "no local APIC");
    refused("-apic", true, "-apic: a machine with interrupt controllers has a local APIC");
    refused("-osxsave", false, "-osxsave: the guest's own CR4");
    BOOST_CHECK_NO_THROW(static_cast<void>(make_kvm_accelerator({.cpu_features = "+apic,-x2apic", .irqchip = true})));
}

BOOST_AUTO_TEST_CASE(any_leaf_can_be_masked, REQUIRES("cpuid-masks")) {
    BOOST_TEST((leaf_1_ecx(loop, "-popcnt,-sse3") & (popcnt_bit | 1u)) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(the_host_s_features_are_those_of_its_processor_or_fewer) {
    // What no x86 processor with long mode can have: 3DNow! together with AVX-512.
    BOOST_CHECK_EXCEPTION(static_cast<void>(make_kvm_accelerator({.cpu_features = "+3dnow,+avx512f"})), Error,
                          [](const Error& error) { return error.kind() == ErrorKind::host; });
}
