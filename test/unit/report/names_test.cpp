#include "report/names.hpp"

#include "bytes.hpp"

#include <linux/kvm.h>
#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <set>

using namespace asyncvm;
using asyncvm::test::contains;

BOOST_AUTO_TEST_CASE(exit_reasons_have_the_names_of_the_header) {
#define NAMED(name) BOOST_TEST(exit_reason_name(name) == #name)
    NAMED(KVM_EXIT_UNKNOWN);
    NAMED(KVM_EXIT_EXCEPTION);
    NAMED(KVM_EXIT_IO);
    NAMED(KVM_EXIT_HYPERCALL);
    NAMED(KVM_EXIT_DEBUG);
    NAMED(KVM_EXIT_HLT);
    NAMED(KVM_EXIT_MMIO);
    NAMED(KVM_EXIT_IRQ_WINDOW_OPEN);
    NAMED(KVM_EXIT_SHUTDOWN);
    NAMED(KVM_EXIT_FAIL_ENTRY);
    NAMED(KVM_EXIT_INTR);
    NAMED(KVM_EXIT_SET_TPR);
    NAMED(KVM_EXIT_TPR_ACCESS);
    NAMED(KVM_EXIT_DCR);
    NAMED(KVM_EXIT_NMI);
    NAMED(KVM_EXIT_INTERNAL_ERROR);
    NAMED(KVM_EXIT_OSI);
    NAMED(KVM_EXIT_WATCHDOG);
    NAMED(KVM_EXIT_SYSTEM_EVENT);
    NAMED(KVM_EXIT_IOAPIC_EOI);
    NAMED(KVM_EXIT_HYPERV);
    NAMED(KVM_EXIT_ARM_NISV);
    NAMED(KVM_EXIT_X86_RDMSR);
    NAMED(KVM_EXIT_X86_WRMSR);
    NAMED(KVM_EXIT_DIRTY_RING_FULL);
    NAMED(KVM_EXIT_AP_RESET_HOLD);
    NAMED(KVM_EXIT_X86_BUS_LOCK);
    NAMED(KVM_EXIT_XEN);
    NAMED(KVM_EXIT_RISCV_SBI);
#ifdef KVM_EXIT_NOTIFY
    NAMED(KVM_EXIT_NOTIFY);
#endif
#ifdef KVM_EXIT_MEMORY_FAULT
    NAMED(KVM_EXIT_MEMORY_FAULT);
#endif
#ifdef KVM_EXIT_TDX
    NAMED(KVM_EXIT_TDX);
#endif
#undef NAMED
    BOOST_TEST(exit_reason_name(99) == "KVM exit reason 99");
    BOOST_TEST(exit_reason_name(~0u) == "KVM exit reason 4294967295");
}

BOOST_AUTO_TEST_CASE(suberrors_and_events_have_the_names_of_the_header) {
    BOOST_TEST(internal_error_name(KVM_INTERNAL_ERROR_EMULATION) == "KVM_INTERNAL_ERROR_EMULATION");
    BOOST_TEST(internal_error_name(KVM_INTERNAL_ERROR_SIMUL_EX) == "KVM_INTERNAL_ERROR_SIMUL_EX");
    BOOST_TEST(internal_error_name(KVM_INTERNAL_ERROR_DELIVERY_EV) == "KVM_INTERNAL_ERROR_DELIVERY_EV");
    BOOST_TEST(internal_error_name(KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON) ==
               "KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON");
    BOOST_TEST(internal_error_name(0) == "KVM internal error 0");
    BOOST_TEST(system_event_name(KVM_SYSTEM_EVENT_SHUTDOWN) == "KVM_SYSTEM_EVENT_SHUTDOWN");
    BOOST_TEST(system_event_name(KVM_SYSTEM_EVENT_RESET) == "KVM_SYSTEM_EVENT_RESET");
    BOOST_TEST(system_event_name(KVM_SYSTEM_EVENT_CRASH) == "KVM_SYSTEM_EVENT_CRASH");
    BOOST_TEST(system_event_name(77) == "KVM system event 77");
}

BOOST_AUTO_TEST_CASE(every_failure_is_a_sentence_of_its_own) {
    std::set<std::string> sentences;
    std::set<std::string_view> kinds;
    for (const auto kind : {Failure::Kind::entry, Failure::Kind::emulation, Failure::Kind::internal, Failure::Kind::unknown,
                            Failure::Kind::unhandled, Failure::Kind::host_error}) {
        sentences.insert(describe_failure({.kind = kind, .code = 3}));
        kinds.insert(failure_kind_name(kind));
    }
    BOOST_TEST(sentences.size() == 6u);
    BOOST_TEST(kinds.size() == 6u);
    BOOST_TEST(
        contains(describe_failure({.kind = Failure::Kind::unhandled, .code = 37}), "KVM_EXIT_NOTIFY, which is not handled"));
    BOOST_TEST(contains(describe_failure({.kind = Failure::Kind::internal, .code = 3}), "KVM_INTERNAL_ERROR_DELIVERY_EV"));
    BOOST_TEST(contains(describe_failure({.kind = Failure::Kind::host_error, .code = ENOMEM}), "cannot allocate memory"));
    BOOST_TEST(contains(describe_failure({.kind = Failure::Kind::entry, .code = 0x8000'0021}),
                        "invalid guest state (VMX exit 33)"));
    BOOST_TEST(contains(describe_failure({.kind = Failure::Kind::entry, .code = ~std::uint64_t{0}}), "VMEXIT_INVALID"));
    BOOST_TEST(contains(describe_failure({.kind = Failure::Kind::unknown, .code = 0x42}), "hardware reason 0x42"));
    // Numbers that do not fit where they come from.
    BOOST_TEST(contains(describe_failure({.kind = Failure::Kind::unhandled, .code = ~std::uint64_t{0}}), "4294967295"));
}
