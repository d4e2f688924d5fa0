/// The guests of the probes. Each writes 1 to the verdict port when it saw what it should, unless it says otherwise.
#pragma once

#include "probe/code.hpp"

namespace asyncvm::probe::code {

// For Mode::real16.
Code real_mode();
Code int_real();
Code string_in();    ///< 64 bytes from port 0x40 with REP INSB, then 1 to the verdict port
Code string_out();   ///< 64 bytes to port 0x40 with REP OUTSB, then 1 to the verdict port
Code fast_writes();  ///< 'a', 'b', 'c' to port 0x50, then 1 to the verdict port
Code irq_wake();     ///< writes 0 to port 0x50 when interrupts are ready, waits in HLT for IRQ 4
Code two_cpus();     ///< all vCPUs but number BX = 0 halt in the end

// For Mode::protected32.
Code protected_mode();
Code paging_32();
Code paging_pae();
Code enter_long_mode();
Code int_32();
Code fast_mmio();   ///< 'a', 'b', 'c' to 0x200000 as 32-bit words, then 1 to the verdict port
Code ap_startup();  ///< starts vCPU 1 at 0x8000, where ap() must be

// For Mode::long64.
Code long_mode();
Code mmio();  ///< writes 0x12345678 to 0x200000, reads 32 bits from there and wants 0x87654321
Code int_64();
Code int3_64();
Code ring3_int();
Code ring3_syscall();
Code sse();
Code x87();
Code popcnt();
Code vmcall();
Code triple_fault();
Code spin();
Code debuggee();  ///< nop, nop, int3, nop, a write to 0x30000, then 1 to the verdict port
Code cpuid();     ///< CPUID of leaf EBX: writes ECX to port 0x50, EDX to 0x54, EBX to 0x58; then 1 to the verdict port

// For real mode at 0x8000.
Code ap();  ///< writes 1 to 0x500 and halts

}  // namespace asyncvm::probe::code
