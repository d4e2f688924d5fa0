#include "accel/kvm/wake.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>

using namespace asyncvm::kvm;

namespace {

void put(InterruptSources& sources, unsigned offset, std::uint32_t value) {
    std::memcpy(sources.apic.registers.regs + offset, &value, sizeof value);
}

/// As KVM makes a machine: the first local APIC takes what the PIC has (LINT0), everything else is masked, the PIC is not
/// initialised; UARTs on lines 3 and 4.
InterruptSources at_start() {
    InterruptSources sources;
    sources.apic.base = 0xfee00900;
    put(sources, 0x320, 0x10000);
    put(sources, 0x350, 0x700);
    for (auto& entry : sources.ioapic.redirtbl) entry.fields.mask = 1;
    sources.driven = 1u << 3 | 1u << 4;
    return sources;
}

InterruptSources with_pic() {
    InterruptSources sources = at_start();
    sources.master.irq_base = 0x20;
    sources.slave.irq_base = 0x28;
    sources.master.imr = sources.slave.imr = 0xff;
    return sources;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(wake)

BOOST_AUTO_TEST_CASE(nothing_comes_in_a_machine_that_the_guest_has_not_set_up) {
    BOOST_TEST(!interrupt_may_come(at_start()));
    BOOST_TEST(!interrupt_may_come(with_pic()));
}

BOOST_AUTO_TEST_CASE(a_local_timer_that_runs_may_come) {
    for (const std::uint32_t mode : {0u, 1u, 2u}) {
        InterruptSources sources = at_start();
        put(sources, 0x320, mode << 17 | 0x40);
        BOOST_TEST(!interrupt_may_come(sources));
        put(sources, 0x380, 1000);
        put(sources, 0x390, mode == 2 ? 0 : 500);
        if (mode == 2) sources.apic.tsc_deadline = 1;
        BOOST_TEST(interrupt_may_come(sources));
        put(sources, 0x320, mode << 17 | 0x10040);
        BOOST_TEST(!interrupt_may_come(sources));
    }
    InterruptSources expired = at_start();
    put(expired, 0x320, 0x40);
    put(expired, 0x380, 1000);
    BOOST_TEST(!interrupt_may_come(expired));
}

BOOST_AUTO_TEST_CASE(a_line_that_a_device_drives_may_come_if_a_pic_lets_it_through) {
    InterruptSources sources = with_pic();
    sources.master.imr = static_cast<__u8>(~(1u << 4));
    BOOST_TEST(interrupt_may_come(sources));
    put(sources, 0x350, 0x10700);  // the local APIC takes nothing of a PIC
    BOOST_TEST(!interrupt_may_come(sources));
    sources.apic.base = 0;  // but without it the PIC is on the processor's pin
    BOOST_TEST(interrupt_may_come(sources));
    sources = with_pic();
    sources.master.imr = static_cast<__u8>(~(1u << 5));
    BOOST_TEST(!interrupt_may_come(sources));
}

BOOST_AUTO_TEST_CASE(the_second_pic_is_behind_the_first_one) {
    InterruptSources sources = with_pic();
    sources.driven = 1u << 8;
    sources.slave.imr = static_cast<__u8>(~1u);
    BOOST_TEST(!interrupt_may_come(sources));
    sources.master.imr = static_cast<__u8>(~(1u << 2));
    BOOST_TEST(interrupt_may_come(sources));
}

BOOST_AUTO_TEST_CASE(a_counting_pit_may_come_through_the_pic_and_at_input_2_of_the_ioapic) {
    InterruptSources sources = with_pic();
    sources.master.imr = 0xfe;
    BOOST_TEST(!interrupt_may_come(sources));
    sources.pit_mode = 2;
    BOOST_TEST(interrupt_may_come(sources));
    sources.master.imr = 0xff;
    sources.ioapic.redirtbl[0].fields.mask = 0;
    BOOST_TEST(!interrupt_may_come(sources));
    sources.ioapic.redirtbl[2].fields.mask = 0;
    BOOST_TEST(interrupt_may_come(sources));
}

BOOST_AUTO_TEST_CASE(what_is_pending_or_a_message_may_come) {
    InterruptSources sources = at_start();
    put(sources, 0x240, 1u << 7);
    BOOST_TEST(interrupt_may_come(sources));
    sources = at_start();
    sources.messages = true;
    BOOST_TEST(interrupt_may_come(sources));
    sources = at_start();
    sources.ioapic.redirtbl[4].fields.mask = 0;
    BOOST_TEST(interrupt_may_come(sources));
}

BOOST_AUTO_TEST_SUITE_END()
