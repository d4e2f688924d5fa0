#include "accel/unicorn/stub.hpp"

#include <array>
#include <cstring>
#include <initializer_list>

#include "x86/bits.hpp"
#include "x86/segment_descriptor.hpp"

namespace asyncvm::unicorn {

namespace {

// The layout of the pages.
constexpr std::uint64_t gdt_offset = 0x800;
constexpr std::uint64_t gdtr_offset = 0x900;
constexpr std::uint64_t pointer_offset = 0x910;
constexpr std::uint64_t jump_offset = 0xa00;
constexpr std::uint64_t jump_pointer_offset = 0xa10;
constexpr std::uint64_t pml4_offset = 0x1000;
constexpr std::uint64_t pdpt_offset = 0x2000;

// The entries of the GDT.
constexpr std::uint16_t code32_selector = 0x08;
constexpr std::uint16_t target_code_selector = 0x10;
constexpr std::uint16_t first_data_selector = 0x18;

/// Opcode bytes of `mov sreg, ax`: the second byte names the register.
constexpr std::array<std::uint8_t, 5> move_to_segment{0xd8, 0xc0, 0xd0, 0xe0, 0xe8};  // ds, es, ss, fs, gs

class Code {
public:
    Code(std::span<std::byte> pages, std::uint64_t offset) : pages_(pages), offset_(offset) {}

    void bytes(std::initializer_list<std::uint8_t> list) {
        for (const std::uint8_t value : list) pages_[offset_++] = std::byte{value};
    }
    void value16(std::uint16_t value) { put(&value, sizeof value); }
    void value32(std::uint64_t value) {
        const auto low = static_cast<std::uint32_t>(value);
        put(&low, sizeof low);
    }
    /// The address of the next byte.
    [[nodiscard]] std::uint64_t here() const noexcept { return stub_base + offset_; }

private:
    void put(const void* from, std::size_t size) {
        std::memcpy(pages_.data() + offset_, from, size);
        offset_ += size;
    }

    std::span<std::byte> pages_;
    std::uint64_t offset_;
};

void put(std::span<std::byte> pages, std::uint64_t offset, std::uint64_t value, std::size_t size = 8) {
    std::memcpy(pages.data() + offset, &value, size);
}

/// A descriptor of ours for a segment: of the highest privilege, and without limits that could get in the way.
std::uint64_t loadable(Segment segment, bool code) {
    segment.present = segment.code_or_data = true;
    segment.dpl = 0;
    segment.limit = 0xffff'ffff;
    segment.granularity_4k = true;
    segment.type = code ? 0xb : 0x3;
    return encode_descriptor(segment);
}

void write_tables(std::span<std::byte> pages, const Registers& to) {
    Segment code32;
    code32.default_32 = true;
    put(pages, gdt_offset + code32_selector, loadable(code32, true));
    put(pages, gdt_offset + target_code_selector, loadable(to.cs, true));
    std::uint16_t selector = first_data_selector;
    for (const Segment* const segment : {&to.ds, &to.es, &to.ss, &to.fs, &to.gs}) {
        put(pages, gdt_offset + selector, loadable(*segment, false));
        selector += 8;
    }
    put(pages, gdtr_offset, selector - 1u, 2);
    put(pages, gdtr_offset + 2, stub_base + gdt_offset);
    // One to one, in pages of 1 GiB: present, writable, accessed, dirty, large.
    put(pages, pml4_offset, (stub_base + pdpt_offset) | 0x23);
    for (std::uint64_t gib = 0; gib < 4; ++gib) put(pages, pdpt_offset + 8 * gib, gib << 30 | 0xe3);
}

void load_data_segments(Code& code) {
    std::uint16_t selector = first_data_selector;
    for (const std::uint8_t to : move_to_segment) {
        code.bytes({0x66, 0xb8});  // mov ax, selector
        code.value16(selector);
        code.bytes({0x8e, to});
        selector += 8;
    }
}

/// `mov eax, value; mov crN, eax`; in 64-bit mode the upper half of RAX becomes 0.
void load_control(Code& code, unsigned number, std::uint64_t value) {
    code.bytes({0xb8});
    code.value32(value);
    code.bytes({0x0f, 0x22, static_cast<std::uint8_t>(0xc0 | number << 3)});
}

/// In 64-bit mode: `jmp far [pointer]`.
void jump_through_pointer(Code& code, std::span<std::byte> pages, std::uint16_t selector, std::uint64_t offset) {
    code.bytes({0xff, 0x2d});
    code.value32(stub_base + pointer_offset - (code.here() + 4));
    put(pages, pointer_offset, offset, 4);
    put(pages, pointer_offset + 4, selector, 2);
}

}  // namespace

std::uint64_t write_start_stub(std::span<std::byte> pages, const Registers& to) {
    write_tables(pages, to);
    Code code(pages, 0);
    code.bytes({0x0f, 0x01, 0x15});  // lgdt [gdtr]
    code.value32(stub_base + gdtr_offset - (code.here() + 4));
    load_control(code, 4, to.cr4 | cr4_pae);
    load_control(code, 3, stub_base + pml4_offset);
    load_control(code, 0, cr0_pg | cr0_et | cr0_pe);
    if ((to.efer & efer_lma) != 0) {
        load_control(code, 0, to.cr0);
        load_data_segments(code);
        const std::uint64_t base = to.cs.long_mode ? 0 : to.cs.base;
        jump_through_pointer(code, pages, target_code_selector, stub_base + jump_offset - base);
        Code(pages, jump_offset).bytes({0xf4});  // hlt
        return stub_base;
    }
    // The jump is 6 bytes long.
    jump_through_pointer(code, pages, code32_selector, code.here() + 6);
    load_control(code, 0, cr0_et | cr0_pe);  // without paging: long mode ends
    code.bytes({0xb9});                      // mov ecx, IA32_EFER
    code.value32(msr_efer);
    code.bytes({0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30});  // xor eax, eax; xor edx, edx; wrmsr
    load_control(code, 4, to.cr4);
    load_data_segments(code);
    code.bytes({0xea});  // jmp far
    code.value32(stub_base + jump_offset - to.cs.base);
    code.value16(target_code_selector);
    Code last(pages, jump_offset);
    if (!to.cs.default_32) last.bytes({0x66});  // the immediate has 32 bits nevertheless
    load_control(last, 0, to.cr0 & ~cr0_pg);
    last.bytes({0xf4});  // hlt
    return stub_base;
}

std::uint64_t write_far_jump_stub(std::span<std::byte> pages, std::uint64_t cs_base, std::uint16_t selector,
                                  std::uint16_t offset) {
    Code code(pages, jump_offset);
    code.bytes({0x2e, 0x67, 0xff, 0x2d});  // jmp far [cs:pointer], with an address of 32 bits
    code.value32(stub_base + jump_pointer_offset - cs_base);
    put(pages, jump_pointer_offset, offset, 2);
    put(pages, jump_pointer_offset + 2, selector, 2);
    return stub_base + jump_offset - cs_base;
}

}  // namespace asyncvm::unicorn
