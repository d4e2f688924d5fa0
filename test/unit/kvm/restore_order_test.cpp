// KVM takes state in any order, and loses some of it without a word in each of the wrong ones below.
#include "accel/kvm/restore_order.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <set>
#include <vector>

using namespace asyncvm::kvm;

namespace {

/// All steps, the vCPUs' before the machine's, as restoring takes them.
std::vector<StateStep> whole_order() {
    std::vector<StateStep> order(cpu_restore_order.begin(), cpu_restore_order.end());
    order.insert(order.end(), vm_restore_order.begin(), vm_restore_order.end());
    return order;
}

bool comes_before(StateStep first, StateStep second) {
    const auto order = whole_order();
    return std::ranges::find(order, first) < std::ranges::find(order, second);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(restore_order)

BOOST_AUTO_TEST_CASE(each_part_of_the_state_is_restored_once) {
    const auto order = whole_order();
    BOOST_TEST(std::set(order.begin(), order.end()).size() == order.size());
    BOOST_TEST(order.size() == static_cast<std::size_t>(StateStep::clock) + 1);
}

BOOST_AUTO_TEST_CASE(the_deadline_comes_behind_what_it_needs) {
    BOOST_TEST(comes_before(StateStep::lapic, StateStep::tsc_deadline));
    BOOST_TEST(comes_before(StateStep::cpuid, StateStep::tsc_deadline));
    BOOST_TEST(comes_before(StateStep::tsc, StateStep::tsc_deadline));
}

BOOST_AUTO_TEST_CASE(pending_inputs_of_the_ioapic_find_the_local_apics_restored) {
    BOOST_TEST(comes_before(StateStep::lapic, StateStep::irqchip));
}

BOOST_AUTO_TEST_CASE(a_pending_exception_is_restored_behind_the_registers) {
    BOOST_TEST(comes_before(StateStep::regs, StateStep::vcpu_events));
}

BOOST_AUTO_TEST_CASE(the_task_priority_is_the_local_apics_last_word) {
    BOOST_TEST(comes_before(StateStep::sregs, StateStep::lapic));
}

BOOST_AUTO_TEST_CASE(xcr0_says_what_xsave_may_hold) { BOOST_TEST(comes_before(StateStep::xcrs, StateStep::xsave)); }

BOOST_AUTO_TEST_CASE(cpuid_is_first_and_the_clock_last) {
    BOOST_TEST((whole_order().front() == StateStep::cpuid));
    BOOST_TEST((whole_order().back() == StateStep::clock));
}

BOOST_AUTO_TEST_SUITE_END()
