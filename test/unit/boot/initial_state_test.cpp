#include "boot/initial_state.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <vector>

using namespace asyncvm;

namespace {

constexpr std::uint64_t mib = 1 << 20;

std::uint64_t word_at(const GuestMemory& memory, std::uint64_t address) {
    std::uint64_t value = 0;
    BOOST_REQUIRE(memory.read(address, std::as_writable_bytes(std::span(&value, 1))) == sizeof value);
    return value;
}

std::vector<const Segment*> segments(const Registers& registers) {
    return {&registers.cs, &registers.ds, &registers.es, &registers.fs, &registers.gs, &registers.ss};
}

/// Intel SDM vol. 3, 27.3.1.2 "Checks on Guest Segment Registers", as far as it is about these states; AMD's (APM vol. 2,
/// 15.5.1) are fewer.
void check_vm_entry(const Registers& registers) {
    for (const Segment* segment : segments(registers)) {
        BOOST_TEST(segment->present);
        BOOST_TEST(segment->code_or_data);
        BOOST_TEST((segment->type & 1) == 1);  // accessed
        BOOST_TEST(segment->dpl == 0);
        const bool low_bits_set = (segment->limit & 0xfff) == 0xfff;
        const bool high_bits_set = (segment->limit & 0xfff0'0000) != 0;
        BOOST_TEST((low_bits_set || !segment->granularity_4k));
        BOOST_TEST((!high_bits_set || segment->granularity_4k));
    }
    BOOST_TEST((registers.cs.type == 9 || registers.cs.type == 11 || registers.cs.type == 13 || registers.cs.type == 15));
    BOOST_TEST((registers.ss.type == 3 || registers.ss.type == 7));
    BOOST_TEST(!(registers.cs.long_mode && registers.cs.default_32));
    BOOST_TEST(registers.tr.present);
    BOOST_TEST(registers.tr.type == 11);
    BOOST_TEST(!registers.tr.code_or_data);
    BOOST_TEST((registers.tr.selector & 4) == 0);
    BOOST_TEST(!registers.tr.granularity_4k);
    BOOST_TEST((!registers.ldt.present || registers.ldt.type == 2));
    BOOST_TEST((registers.rflags & 2) == 2u);
    BOOST_TEST((registers.rflags & ~std::uint64_t{0x3d'7fd7}) == 0u);
}

/// A descriptor's hidden part must be what the segment register has, so that loading the selector again changes nothing.
void check_descriptor(const GuestMemory& memory, const Registers& registers, const Segment& segment) {
    BOOST_TEST(segment.selector + 7u <= registers.gdt.limit);
    const std::uint64_t descriptor = word_at(memory, registers.gdt.base + segment.selector);
    BOOST_TEST((descriptor >> 40 & 0xf) == segment.type);
    BOOST_TEST((descriptor >> 44 & 1) == segment.code_or_data);
    BOOST_TEST((descriptor >> 45 & 3) == segment.dpl);
    BOOST_TEST((descriptor >> 47 & 1) == segment.present);
    BOOST_TEST((descriptor >> 53 & 1) == segment.long_mode);
    BOOST_TEST((descriptor >> 54 & 1) == segment.default_32);
    BOOST_TEST((descriptor >> 55 & 1) == segment.granularity_4k);
    const std::uint64_t limit = (descriptor & 0xffff) | (descriptor >> 32 & 0xf0000);
    BOOST_TEST(((limit << 12) | 0xfff) == segment.limit);
    BOOST_TEST(segment.base == 0u);
}

}  // namespace

BOOST_AUTO_TEST_CASE(real_mode_splits_the_entry_into_segment_and_offset) {
    GuestMemory memory(mib);
    const Registers registers = initial_registers(memory, Mode::real16, 0x54321);
    BOOST_TEST(registers.cs.selector == 0x5000);
    BOOST_TEST(registers.cs.base == 0x50000u);
    BOOST_TEST(registers.rip == 0x4321u);
    for (const Segment* segment : {&registers.ds, &registers.es, &registers.ss}) {
        BOOST_TEST(segment->selector == 0x5000);
        BOOST_TEST(segment->base == 0x50000u);
        BOOST_TEST(segment->type == 3);
    }
    BOOST_TEST(registers.fs.selector == 0);
    BOOST_TEST(registers.gs.selector == 0);
    for (const Segment* segment : segments(registers)) BOOST_TEST(segment->limit == 0xffffu);
    BOOST_TEST(registers.cr0 == 0x10u);
    BOOST_TEST(registers.rflags == 2u);
    BOOST_TEST(registers.idt.base == 0u);
    BOOST_TEST(registers.idt.limit == 0x3ff);
    BOOST_TEST(registers.gdt.limit == 0xffff);
    check_vm_entry(registers);
    BOOST_TEST(memory.regions().size() == 1u);  // no boot tables
}

BOOST_AUTO_TEST_CASE(the_stack_of_real_mode_ends_where_its_segment_or_the_memory_ends) {
    GuestMemory memory(mib);
    BOOST_TEST(initial_registers(memory, Mode::real16, 0x10000).rsp == 0u);
    GuestMemory odd(0x18000);
    BOOST_TEST(initial_registers(odd, Mode::real16, 0x10000).rsp == 0x8000u);
    BOOST_TEST(initial_registers(odd, Mode::real16, 0x7c00).rsp == 0u);
}

BOOST_AUTO_TEST_CASE(protected_mode_is_flat_and_its_gdt_is_in_memory) {
    GuestMemory memory(mib);
    const Registers registers = initial_registers(memory, Mode::protected32, 0x10000);
    BOOST_TEST(registers.rip == 0x10000u);
    BOOST_TEST(registers.rsp == mib);
    BOOST_TEST(registers.cr0 == 0x31u);
    BOOST_TEST(registers.cr4 == 0u);
    BOOST_TEST(registers.efer == 0u);
    BOOST_TEST(registers.cs.selector == 0x08);
    BOOST_TEST(registers.ss.selector == 0x10);
    BOOST_TEST(registers.cs.default_32);
    BOOST_TEST(registers.idt.limit == 0);
    BOOST_TEST(!registers.ldt.present);
    check_vm_entry(registers);
    BOOST_TEST(word_at(memory, registers.gdt.base) == 0u);
    for (const Segment* segment : segments(registers)) check_descriptor(memory, registers, *segment);
}

BOOST_AUTO_TEST_CASE(long_mode_has_its_gdt_and_switches_that_match) {
    GuestMemory memory(mib);
    const Registers registers = initial_registers(memory, Mode::long64, 0x10000);
    BOOST_TEST(registers.rip == 0x10000u);
    BOOST_TEST(registers.rsp == mib);
    BOOST_TEST(registers.cr0 == 0x8000'0033u);
    BOOST_TEST(registers.cr4 == 0x620u);
    BOOST_TEST(registers.efer == 0x500u);
    BOOST_TEST(registers.cs.long_mode);
    BOOST_TEST(!registers.ldt.present);
    check_vm_entry(registers);
    for (const Segment* segment : segments(registers)) check_descriptor(memory, registers, *segment);
    // 32-bit code for compatibility mode.
    BOOST_TEST(registers.gdt.limit == 0x1f);
    BOOST_TEST(word_at(memory, registers.gdt.base + 0x18) == 0x00cf'9b00'0000'ffffu);
}

BOOST_AUTO_TEST_CASE(long_mode_maps_the_first_4_gib_one_to_one) {
    GuestMemory memory(mib);
    const Registers registers = initial_registers(memory, Mode::long64, 0x10000);
    for (std::uint64_t address = 0; address < GuestMemory::high_base; address += 2 * mib) {
        const std::uint64_t pml4e = word_at(memory, registers.cr3 + 8 * (address >> 39 & 511));
        const std::uint64_t pdpte = word_at(memory, (pml4e & ~0xfffull) + 8 * (address >> 30 & 511));
        const std::uint64_t pde = word_at(memory, (pdpte & ~0xfffull) + 8 * (address >> 21 & 511));
        BOOST_REQUIRE((pml4e & 0xfff) == 0x23u);
        BOOST_REQUIRE((pdpte & 0xfff) == 0x23u);
        BOOST_REQUIRE(pde == (address | 0xe3));  // present, writable, accessed, dirty, large
    }
    BOOST_TEST(word_at(memory, registers.cr3 + 8) == 0u);
}

BOOST_AUTO_TEST_CASE(the_stack_stays_below_the_hole) {
    GuestMemory memory(GuestMemory::low_limit + mib);
    BOOST_TEST(initial_registers(memory, Mode::long64, 0x10000).rsp == GuestMemory::low_limit);
}
