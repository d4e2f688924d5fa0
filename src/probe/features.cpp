#include "probe/feature.hpp"

#include <asyncvm/error.hpp>

#include <algorithm>

#include "probe/probes.hpp"

namespace asyncvm::probe {

namespace {

constexpr std::string_view broken = "this KVM can't run asyncvm's guests: look for a newer kernel";
constexpr std::string_view integer_only = "build such guests with -mgeneral-regs-only, or run them on another host";
constexpr std::string_view other_host = "run such guests on a host with kvm-intel or kvm-amd";
constexpr std::string_view slower = "nothing: asyncvm works without, with more exits";
constexpr std::string_view debug_otherwise = "nothing: gdb's breakpoints are made of what there is, if need be of single steps";

constexpr Feature table[] = {
    {"real-mode", "16-bit real mode", "--mode 16", broken, probe_real_mode},
    {"int-real", "int n, iret in real mode", "16-bit guests with interrupt handlers", other_host, probe_int_real},
    {"protected-mode", "32-bit protected mode", "--mode 32", broken, probe_protected_mode},
    {"long-mode", "64-bit long mode", "--mode 64", broken, probe_long_mode},
    {"enter-long-mode", "entering long mode from 32 bits", "boot loaders and kernels", other_host, probe_enter_long_mode},
    {"mmio", "memory-mapped I/O", "devices in memory", broken, probe_mmio},
    {"triple-fault", "triple faults are reported", "exit code 80", broken, probe_triple_fault},
    {"int-32", "int n, iret in 32 bits", "32-bit guests with interrupt handlers", other_host, probe_int_32},
    {"int-64", "int n, iretq in 64 bits", "64-bit guests with interrupt handlers", other_host, probe_int_64},
    {"int3-64", "int3 in 64 bits", "guests with breakpoints of their own", other_host, probe_int3_64},
    {"paging-32", "32-bit paging", "32-bit kernels", other_host, probe_paging_32},
    {"paging-pae", "32-bit paging, PAE", "32-bit kernels", other_host, probe_paging_pae},
    {"ring3-int", "ring 3, int 0x80", "guests with user programs", other_host, probe_ring3_int},
    {"ring3-syscall", "ring 3, syscall and sysret", "Linux and other 64-bit systems", other_host, probe_ring3_syscall},
    {"sse", "SSE in ring 0", "what compilers make by default in 64 bits", integer_only, probe_sse},
    {"x87", "x87 in ring 0", "guests with floating point", integer_only, probe_x87},
    {"popcnt", "popcnt in ring 0", "guests built for newer processors", integer_only, probe_popcnt},
    {"vmcall", "vmcall returns", "Linux as a KVM guest", "take Linux's kvm features off: --cpu -hypervisor", probe_vmcall},
    {"string-in", "REP INS: many elements an exit", "fast string input", slower, probe_string_in},
    {"string-out", "REP OUTS: many elements an exit", "fast string output", slower, probe_string_out},
    {"coalesced-pio", "coalesced port writes", "fast output to ports", slower, probe_coalesced_pio},
    {"coalesced-mmio", "coalesced memory writes", "fast output to memory", slower, probe_coalesced_mmio},
    {"ioeventfd", "ioeventfd on ports", "fast doorbells", slower, probe_ioeventfd},
    {"single-step", "single steps", "a debugger on the guest", other_host, probe_single_step},
    {"hardware-breakpoint", "hardware breakpoints", "fast breakpoints", debug_otherwise, probe_hardware_breakpoint},
    {"software-breakpoint", "int3 stops for the debugger", "any number of fast breakpoints", debug_otherwise,
     probe_software_breakpoint},
    {"watchpoint", "data watchpoints", "fast watchpoints", debug_otherwise, probe_watchpoint},
    {"two-cpus", "two vCPUs at once", "--cpus 2 and more", "take one vCPU", probe_two_cpus},
    {"irq-wake", "an interrupt wakes HLT", "guests with interrupts", other_host, probe_irq_wake},
    {"ap-startup", "INIT and start-up of a second vCPU", "kernels on several vCPUs", "take one vCPU", probe_ap_startup},
    {"kick", "a signal ends a spinning guest", "Ctrl-C and every stop", broken, probe_kick},
    {"immediate-exit", "immediate_exit", "stops that can't be lost", broken, probe_immediate_exit},
    {"sync-regs", "registers in the shared page", "cheap addresses in reports", "nothing: reports lack some addresses",
     probe_sync_regs},
    {"cpuid-masks", "masks of CPUID", "--cpu -NAME", "mask features of other leaves only", probe_cpuid_masks},
};

}  // namespace

std::span<const Feature> features() { return table; }

const Feature* find_feature(std::string_view name) {
    const auto found = std::ranges::find(table, name, &Feature::name);
    return found == std::end(table) ? nullptr : &*found;
}

Verdict try_feature(const Feature& feature) {
    try {
        return feature.probe();
    } catch (const Error& error) {
        return {false, error.what()};
    }
}

std::vector<Finding> probe_all() {
    std::vector<Finding> findings;
    for (const Feature& feature : table) findings.push_back({&feature, try_feature(feature)});
    return findings;
}

}  // namespace asyncvm::probe
