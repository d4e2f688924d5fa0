/// The architectural state of an x86 vCPU, independent of the accelerator. Names as in the processor manuals.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <array>
#include <cstdint>

namespace asyncvm {

/// A segment register with its hidden part (Intel SDM vol. 3, 3.4.3).
struct Segment {
    std::uint16_t selector = 0;
    std::uint64_t base = 0;
    std::uint32_t limit = 0;  ///< in bytes, granularity already applied
    std::uint8_t type = 0;    ///< 4 bits
    std::uint8_t dpl = 0;
    bool present = false;
    bool code_or_data = false;    ///< the S bit
    bool long_mode = false;       ///< L
    bool default_32 = false;      ///< D/B
    bool granularity_4k = false;  ///< G
    bool available = false;       ///< AVL
};

/// GDTR or IDTR.
struct DescriptorTable {
    std::uint64_t base = 0;
    std::uint16_t limit = 0;
};

struct Registers {
    std::uint64_t rax = 0, rbx = 0, rcx = 0, rdx = 0, rsi = 0, rdi = 0, rsp = 0, rbp = 0;
    std::uint64_t r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
    std::uint64_t rip = 0;
    std::uint64_t rflags = 2;  ///< bit 1 is always set
    Segment cs, ds, es, fs, gs, ss, tr, ldt;
    DescriptorTable gdt, idt;
    std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0, efer = 0;
};

}  // namespace asyncvm
