/// The probes: how each feature of the table is tried.
#pragma once

#include "probe/feature.hpp"

namespace asyncvm::probe {

// probes_guest.cpp: the guest itself tells.
Verdict probe_real_mode();
Verdict probe_int_real();
Verdict probe_protected_mode();
Verdict probe_long_mode();
Verdict probe_enter_long_mode();
Verdict probe_mmio();
Verdict probe_triple_fault();
Verdict probe_int_32();
Verdict probe_int_64();
Verdict probe_int3_64();
Verdict probe_paging_32();
Verdict probe_paging_pae();
Verdict probe_ring3_int();
Verdict probe_ring3_syscall();
Verdict probe_sse();
Verdict probe_x87();
Verdict probe_popcnt();
Verdict probe_vmcall();

// probes_io.cpp: how accesses reach the monitor.
Verdict probe_string_in();
Verdict probe_string_out();
Verdict probe_coalesced_pio();
Verdict probe_coalesced_mmio();
Verdict probe_ioeventfd();

// probes_debug.cpp: KVM_SET_GUEST_DEBUG.
Verdict probe_single_step();
Verdict probe_hardware_breakpoint();
Verdict probe_software_breakpoint();
Verdict probe_watchpoint();

// probes_cpu.cpp: vCPUs, interrupts, and what the monitor does to a vCPU.
Verdict probe_two_cpus();
Verdict probe_irq_wake();
Verdict probe_ap_startup();
Verdict probe_kick();
Verdict probe_immediate_exit();
Verdict probe_sync_regs();
Verdict probe_cpuid_masks();

}  // namespace asyncvm::probe
