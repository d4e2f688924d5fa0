#include "boot/elf.hpp"

#include "elf_image.hpp"
#include "throws.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace asyncvm::boot;
using namespace asyncvm::test;

namespace {

namespace data = boost::unit_test::data;

const auto classes = data::make({false, true});

Elf elf_of(const ElfImage& image) { return read_elf(*image.image()); }

std::string error_of(const ElfImage& image) {
    return message_of(ErrorKind::guest_image, [&] { static_cast<void>(elf_of(image)); });
}

std::vector<std::byte> words(std::initializer_list<std::uint32_t> values) {
    std::vector<std::byte> bytes;
    for (const auto value : values) put(bytes, bytes.size(), value);
    return bytes;
}

}  // namespace

BOOST_DATA_TEST_CASE(headers_segments_and_the_entry_are_read_in_both_classes, classes, is_64) {
    const ElfImage image(
        is_64,
        {{.physical = 0x100000, .memory_size = 100, .virtual_address = 0x40100000, .bytes = bytes_of("code")},
         {.type = 0x6474e551},
         {.physical = 0x200000, .memory_size = 0x1000, .flags = 6}},
        0x40100002);
    const Elf elf = elf_of(image);
    BOOST_TEST(elf.is_64 == is_64);
    BOOST_TEST(elf.x86_64 == is_64);
    BOOST_TEST(elf.kind() == (is_64 ? "ELF64 x86-64" : "ELF32 i386"));
    BOOST_TEST(!elf.position_independent);
    BOOST_TEST(elf.entry == 0x40100002u);
    BOOST_REQUIRE(elf.segments.size() == 2u);
    BOOST_TEST(elf.segments[0].index == 0u);
    BOOST_TEST(elf.segments[0].executable);
    BOOST_TEST(elf.segments[0].virtual_address == 0x40100000u);
    BOOST_TEST(elf.segments[0].physical_address == 0x100000u);
    BOOST_TEST(elf.segments[0].file_size == 4u);
    BOOST_TEST(elf.segments[0].memory_size == 100u);
    BOOST_TEST(elf.segments[1].index == 2u);
    BOOST_TEST(!elf.segments[1].executable);
    BOOST_TEST(elf.first() == 0x100000u);
    BOOST_TEST(elf.last() == 0x200fffu);
}

BOOST_DATA_TEST_CASE(a_virtual_entry_is_found_through_the_segment_that_has_it, classes, is_64) {
    // xv6's and gnumach's way: code at a virtual address, the entry virtual.
    auto code = code_segment();
    code.virtual_address = 0x80100000;
    BOOST_TEST(elf_of(ElfImage(is_64, {code}, 0x80100010)).physical_entry() == 0x100010u);
    // The entry physical already, in no virtual range.
    BOOST_TEST(elf_of(ElfImage(is_64, {code}, 0x10000c)).physical_entry() == 0x10000cu);
    // In no range at all: as it is.
    BOOST_TEST(elf_of(ElfImage(is_64, {code}, 0x700000)).physical_entry() == 0x700000u);
}

BOOST_DATA_TEST_CASE(a_segment_of_data_at_virtual_address_0_does_not_take_a_physical_entry, classes, is_64) {
    // As Linux's per-CPU data: p_vaddr 0, which has the entry among its virtual addresses.
    auto code = code_segment();
    code.virtual_address = 0x80100000;
    ElfImage image(is_64, {{.physical = 0x600000, .memory_size = 0x200000, .virtual_address = 1, .flags = 6}, code},
                   0x100010);
    image.set_word(image.program_field(0, 2), 0);
    BOOST_TEST(elf_of(image).physical_entry() == 0x100010u);
    // Where nothing is placed at the address, it is virtual, and the segment need not be code.
    image.set_word(24, 0x1000);
    BOOST_TEST(elf_of(image).physical_entry() == 0x601000u);
}

BOOST_DATA_TEST_CASE(where_code_is_both_at_a_virtual_and_a_physical_address_the_entry_is_virtual, classes, is_64) {
    auto code = code_segment(0x1000);
    code.virtual_address = 0x100800;
    BOOST_TEST(elf_of(ElfImage(is_64, {code}, 0x100900)).physical_entry() == 0x100100u);
}

BOOST_DATA_TEST_CASE(a_segment_without_bytes_in_memory_is_nothing, classes, is_64) {
    const auto elf = elf_of(ElfImage(is_64, {{.physical = 0xffffffff}, code_segment()}));
    BOOST_REQUIRE(elf.segments.size() == 1u);
    BOOST_TEST(elf.segments[0].index == 1u);
    BOOST_TEST(error_of(ElfImage(is_64, {{.physical = 0x100000}})) ==
               "kernel.elf has no PT_LOAD program header with bytes in memory: there is nothing to load");
}

BOOST_DATA_TEST_CASE(each_wrong_field_is_named_with_its_value, classes, is_64) {
    const ElfImage good(is_64, {code_segment()});
    const auto with = [&](auto&& change) {
        ElfImage image = good;
        change(image);
        return error_of(image);
    };
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint8_t>(0, 0x7e); }), "is no ELF file"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint8_t>(4, 3); }), "EI_CLASS is 3"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint8_t>(5, 2); }), "EI_DATA is 2"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(18, 183); }), "e_machine is 183 (AArch64)"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(18, 9999); }), "e_machine is 9999, not 3"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(16, 1); }), "e_type is 1, ET_REL"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(16, 4); }), "e_type is 4 (ET_CORE"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(i.phentsize(), 48); }), "e_phentsize is 48, not"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(i.phentsize() + 2, 0); }), "e_phnum is 0"));
    BOOST_TEST(contains(with([](auto& i) { i.template set<std::uint16_t>(i.phentsize() + 2, 1025); }), "e_phnum is 1025"));
    BOOST_TEST(contains(with([](auto& i) { i.set_word(i.header_size() == 64 ? 32 : 28, 0x1000); }), "0x1000 (e_phoff)"));
    BOOST_TEST(contains(with([](auto& i) { i.set_word(i.program_field(0, 1), 0x1000); }), "from 0x1000 (p_offset)"));
    BOOST_TEST(contains(with([](auto& i) { i.set_word(i.program_field(0, 4), 0x1000); }), "0x1000 bytes (p_filesz)"));
    BOOST_TEST(contains(with([](auto& i) { i.set_word(i.program_field(0, 5), 63); }), "0x3f in memory (p_memsz)"));
    BOOST_TEST(contains(with([](auto& i) { i.set_word(i.program_field(0, 3), ~std::uint64_t{0} - 62); }),
                        "passes the last address with 0x40 bytes (p_memsz)"));
}

BOOST_AUTO_TEST_CASE(the_machine_must_fit_the_class) {
    BOOST_TEST(
        contains(error_of(ElfImage(true, {code_segment()}).set<std::uint16_t>(18, 3)), "but its e_machine is 3 (i386)"));
    // 64-bit code in a 32-bit file is what kernels use that Multiboot loaders have to take.
    BOOST_TEST(elf_of(ElfImage(false, {code_segment()}).set<std::uint16_t>(18, 62)).x86_64);
}

BOOST_DATA_TEST_CASE(a_segment_may_end_at_the_last_address, classes, is_64) {
    ElfImage image(is_64, {code_segment(64)});
    image.set_word(image.program_field(0, 3), ~std::uint64_t{0} - 63);
    BOOST_TEST(elf_of(image).last() == (is_64 ? ~std::uint64_t{0} : 0xffff'ffff));
}

BOOST_DATA_TEST_CASE(notes_of_all_note_segments_are_found, classes, is_64) {
    auto two = note("Linux", 3, bytes_of("12345"));
    const auto second = note("GNU", 1, {});
    two.insert(two.end(), second.begin(), second.end());
    const auto elf = elf_of(ElfImage(
        is_64, {code_segment(), {.type = 4, .bytes = two}, {.type = 4, .bytes = note("Xen", 18, words({0x100020}))}}));
    BOOST_REQUIRE(elf.notes.size() == 3u);
    BOOST_TEST(elf.notes[0].name == "Linux");
    BOOST_TEST(elf.notes[0].content.size() == 5u);
    BOOST_TEST(elf.notes[1].name == "GNU");
    BOOST_TEST(elf.notes[1].type == 1u);
    BOOST_TEST(pvh_entry(elf).value() == 0x100020u);
}

BOOST_DATA_TEST_CASE(the_pvh_note_has_4_or_8_bytes_and_its_own_name_and_type, classes, is_64) {
    const auto entry_of = [&](const std::vector<std::byte>& bytes) {
        return pvh_entry(elf_of(ElfImage(is_64, {code_segment(), {.type = 4, .bytes = bytes}})));
    };
    BOOST_TEST(entry_of(note("Xen", 18, words({0x100020, 0}))).value() == 0x100020u);
    BOOST_TEST(entry_of(note("Xen", 18, words({0x100020, 1}))).value() == 0x1'0010'0020u);
    BOOST_TEST(!entry_of(note("Xen", 18, words({0x100020, 0, 0}))));
    BOOST_TEST(!entry_of(note("Xen", 17, words({0x100020}))));
    BOOST_TEST(!entry_of(note("Zen", 18, words({0x100020}))));
    BOOST_TEST(!entry_of(note("Xe", 18, words({0x100020}))));
}

BOOST_DATA_TEST_CASE(a_damaged_note_is_named, classes, is_64) {
    auto bytes = note("Xen", 18, words({0x100020}));
    put(bytes, 4, std::uint32_t{5});
    BOOST_TEST(contains(error_of(ElfImage(is_64, {code_segment(), {.type = 4, .bytes = bytes}})),
                        "with n_namesz 4 and n_descsz 5 it passes the end of its segment 1"));
    put(bytes, 0, std::uint32_t{0xffff'ffff});
    BOOST_TEST(contains(error_of(ElfImage(is_64, {code_segment(), {.type = 4, .bytes = bytes}})), "n_namesz 4294967295"));
    // A note without a name, and what is too short for one.
    const auto elf = elf_of(ElfImage(is_64, {code_segment(), {.type = 4, .bytes = words({0, 0, 7, 0xdead})}}));
    BOOST_REQUIRE(elf.notes.size() == 1u);
    BOOST_TEST(elf.notes[0].name == "");
}

BOOST_DATA_TEST_CASE(what_an_operating_system_loads_is_recognised, classes, is_64) {
    BOOST_TEST(elf_of(ElfImage(is_64, {{.type = 3}, code_segment()})).interpreter);
    BOOST_TEST(!elf_of(ElfImage(is_64, {code_segment()})).interpreter);
    BOOST_TEST(elf_of(ElfImage(is_64, {code_segment()}).set<std::uint16_t>(16, 3)).position_independent);
}
