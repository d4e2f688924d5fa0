#include "vmcore/notes.hpp"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "x86/linear.hpp"
#include "x86/xsave_area.hpp"

namespace asyncvm::vmcore {

namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
void put(Bytes& bytes, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
}

void put_zeros(Bytes& bytes, std::size_t count) { bytes.resize(bytes.size() + count); }

void put_note(Bytes& bytes, std::string_view owner, std::uint32_t type, const Bytes& description) {
    put(bytes, static_cast<std::uint32_t>(owner.size() + 1));
    put(bytes, static_cast<std::uint32_t>(description.size()));
    put(bytes, type);
    for (const char letter : owner) bytes.push_back(static_cast<std::byte>(letter));
    put_zeros(bytes, 4 - owner.size() % 4);
    bytes.insert(bytes.end(), description.begin(), description.end());
    put_zeros(bytes, (4 - description.size() % 4) % 4);
}

/// pr_info.si_signo, two more, pr_cursig; then pr_sigpend and pr_sighold, which are words.
void put_signal(Bytes& bytes, int signal, std::size_t word) {
    put(bytes, static_cast<std::uint32_t>(signal));
    put_zeros(bytes, 8);
    put(bytes, static_cast<std::uint16_t>(signal));
    put_zeros(bytes, 2 + 2 * word);
}

Bytes status_64(const Thread& thread, std::uint32_t id) {
    const Registers& r = thread.registers;
    constexpr std::size_t other_ids = 3 * 4;
    constexpr std::size_t times = 4 * 16;
    Bytes bytes;
    put_signal(bytes, thread.signal, 8);
    put(bytes, id);
    put_zeros(bytes, other_ids + times);
    for (const std::uint64_t value : {r.r15,
                                      r.r14,
                                      r.r13,
                                      r.r12,
                                      r.rbp,
                                      r.rbx,
                                      r.r11,
                                      r.r10,
                                      r.r9,
                                      r.r8,
                                      r.rax,
                                      r.rcx,
                                      r.rdx,
                                      r.rsi,
                                      r.rdi,
                                      ~std::uint64_t{0} /* orig_rax: not in a system call */,
                                      linear_pc(r),
                                      std::uint64_t{r.cs.selector},
                                      r.rflags,
                                      linear_sp(r),
                                      std::uint64_t{r.ss.selector},
                                      r.fs.base,
                                      r.gs.base,
                                      std::uint64_t{r.ds.selector},
                                      std::uint64_t{r.es.selector},
                                      std::uint64_t{r.fs.selector},
                                      std::uint64_t{r.gs.selector}}) {
        put(bytes, value);
    }
    put_zeros(bytes, 8);  // pr_fpvalid
    return bytes;
}

Bytes status_32(const Thread& thread, std::uint32_t id) {
    const Registers& r = thread.registers;
    constexpr std::size_t other_ids = 3 * 4;
    constexpr std::size_t times = 4 * 8;
    Bytes bytes;
    put_signal(bytes, thread.signal, 4);
    put(bytes, id);
    put_zeros(bytes, other_ids + times);
    for (const std::uint64_t value :
         {r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rax, std::uint64_t{r.ds.selector}, std::uint64_t{r.es.selector},
          std::uint64_t{r.fs.selector}, std::uint64_t{r.gs.selector}, ~std::uint64_t{0} /* orig_eax */, linear_pc(r),
          std::uint64_t{r.cs.selector}, r.rflags, linear_sp(r), std::uint64_t{r.ss.selector}}) {
        put(bytes, static_cast<std::uint32_t>(value));
    }
    put_zeros(bytes, 4);
    return bytes;
}

/// What FXSAVE stores, and with AVX an XSAVE area as debuggers read it from the kernel's cores: with XCR0 in the bytes that
/// the processor leaves to software. All threads of a core have it, or none.
void put_fpu(Bytes& bytes, const FpuRegisters& fpu, bool elf64) {
    constexpr std::size_t fxsave_size = 512;
    constexpr std::size_t avx_at = 576;
    constexpr std::size_t avx_size = 256;
    constexpr std::size_t xcr0_at = 464;
    constexpr std::byte x87_sse_avx{0b111};
    Bytes area(avx_at + avx_size);
    write_xsave_area(area, avx_at, fpu);
    const Bytes fxsave(area.begin(), area.begin() + fxsave_size);
    if (elf64) {
        put_note(bytes, "CORE", NT_FPREGSET, fxsave);
    } else {
        put_note(bytes, "LINUX", NT_PRXFPREG, fxsave);
    }
    if (!fpu.avx) return;
    area[xcr0_at] = x87_sse_avx;
    put_note(bytes, "LINUX", NT_X86_XSTATE, area);
}

void put_segment(Bytes& bytes, const Segment& segment) {
    // As in the upper half of a descriptor.
    const std::uint32_t flags = segment.type << 8 | segment.code_or_data << 12 | segment.dpl << 13 | segment.present << 15 |
                                segment.available << 20 | segment.long_mode << 21 | segment.default_32 << 22 |
                                segment.granularity_4k << 23;
    put(bytes, std::uint32_t{segment.selector});
    put(bytes, segment.limit);
    put(bytes, flags);
    put_zeros(bytes, 4);
    put(bytes, segment.base);
}

void put_table(Bytes& bytes, const DescriptorTable& table) {
    Segment segment;
    segment.base = table.base;
    segment.limit = table.limit;
    put_segment(bytes, segment);
}

Bytes qemu_state(const Registers& r) {
    constexpr std::uint32_t version = 1;
    constexpr std::uint32_t size = 432;
    Bytes bytes;
    put(bytes, version);
    put(bytes, size);
    for (const std::uint64_t value : {r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11,
                                      r.r12, r.r13, r.r14, r.r15, r.rip, r.rflags}) {
        put(bytes, value);
    }
    for (const Segment* const segment : {&r.cs, &r.ds, &r.es, &r.fs, &r.gs, &r.ss, &r.ldt, &r.tr})
        put_segment(bytes, *segment);
    put_table(bytes, r.gdt);
    put_table(bytes, r.idt);
    for (const std::uint64_t value : {r.cr0, std::uint64_t{0}, r.cr2, r.cr3, r.cr4}) put(bytes, value);
    return bytes;
}

}  // namespace

std::vector<std::byte> notes(std::span<const Thread> threads, bool elf64) {
    Bytes bytes;
    std::uint32_t id = 0;
    for (const Thread& thread : threads) {
        ++id;
        put_note(bytes, "CORE", NT_PRSTATUS, elf64 ? status_64(thread, id) : status_32(thread, id));
        if (thread.fpu) put_fpu(bytes, *thread.fpu, elf64);
    }
    for (const Thread& thread : threads) put_note(bytes, "QEMU", 0, qemu_state(thread.registers));
    return bytes;
}

}  // namespace asyncvm::vmcore
