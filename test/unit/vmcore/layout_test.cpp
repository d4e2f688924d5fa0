// The headers and notes of a core file, read back as a debugger reads them.
#include <vmcore/layout.hpp>

#include <elf.h>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::vmcore;

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t gib = 1 << 30;
constexpr std::uint64_t lma = 1 << 10;

template <typename T>
T at(const Layout& layout, std::uint64_t offset) {
    T value{};
    BOOST_TEST_REQUIRE(offset + sizeof value <= layout.head.size());
    std::memcpy(&value, layout.head.data() + offset, sizeof value);
    return value;
}

std::vector<Elf64_Phdr> headers_of(const Layout& layout) {
    const auto file = at<Elf64_Ehdr>(layout, 0);
    BOOST_TEST_REQUIRE(file.e_ident[EI_CLASS] == ELFCLASS64);
    std::vector<Elf64_Phdr> all;
    for (unsigned i = 0; i < file.e_phnum; ++i) all.push_back(at<Elf64_Phdr>(layout, file.e_phoff + i * file.e_phentsize));
    return all;
}

struct Note {
    std::string owner;
    std::uint32_t type = 0;
    std::uint64_t offset = 0;  ///< of what it says
    std::uint32_t size = 0;
};

std::vector<Note> notes_of(const Layout& layout, std::uint64_t begin, std::uint64_t size) {
    std::vector<Note> all;
    for (std::uint64_t here = begin; here < begin + size;) {
        const auto header = at<Elf64_Nhdr>(layout, here);
        Note note;
        note.type = header.n_type;
        note.size = header.n_descsz;
        here += sizeof header;
        note.owner = reinterpret_cast<const char*>(layout.head.data() + here);
        here += (header.n_namesz + 3) / 4 * 4;
        note.offset = here;
        here += (header.n_descsz + 3) / 4 * 4;
        all.push_back(note);
    }
    return all;
}

Thread long_mode_thread() {
    Thread thread;
    thread.registers.efer = lma;
    thread.registers.cs.long_mode = true;
    return thread;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(layout)

BOOST_AUTO_TEST_CASE(memory_is_at_its_physical_address_and_where_it_is_mapped) {
    const Range memory[] = {{0, 2 * mib}, {4 * gib, mib}};
    const MappedRange mapped[] = {
        {0xffff'8000'0000'0000, 0, mib},
        {0xffff'9000'0000'0000, 2 * mib - 4096, 8192},  // ends beyond the memory
        {0xffff'a000'0000'0000, 3 * gib, mib},          // no memory
        {0xffff'b000'0000'0000, mib, 8 * gib},          // over the hole
    };
    const Thread threads[] = {long_mode_thread()};
    const Layout layout = lay_out(threads, memory, mapped);
    const auto headers = headers_of(layout);
    struct Expected {
        std::uint64_t linear, physical, size;
    };
    const Expected expected[] = {{0xffff'8000'0000'0000, 0, mib},
                                 {0xffff'9000'0000'0000, 2 * mib - 4096, 4096},
                                 {0xffff'b000'0000'0000, mib, mib},
                                 {0xffff'b000'0000'0000 + 4 * gib - mib, 4 * gib, mib},
                                 {0, 0, 2 * mib},
                                 {4 * gib, 4 * gib, mib}};
    BOOST_TEST_REQUIRE(headers.size() == 1 + std::size(expected));
    BOOST_TEST_REQUIRE(layout.parts.size() == 2u);
    for (std::size_t i = 0; i < std::size(expected); ++i) {
        const auto& header = headers[i + 1];
        BOOST_TEST(header.p_type == unsigned{PT_LOAD});
        BOOST_TEST(header.p_vaddr == expected[i].linear);
        BOOST_TEST(header.p_paddr == expected[i].physical);
        BOOST_TEST(header.p_filesz == expected[i].size);
        BOOST_TEST(header.p_memsz == expected[i].size);
        BOOST_TEST(header.p_align == 0u);  // as crash wants it
        const auto& part = layout.parts[header.p_paddr >= 4 * gib ? 1 : 0];
        BOOST_TEST(header.p_offset == part.offset + (header.p_paddr - part.memory.first));
        BOOST_TEST(header.p_offset % 4096 == header.p_vaddr % 4096);
    }
    BOOST_TEST(layout.size == layout.parts[1].offset + mib);
    BOOST_TEST(layout.parts[0].offset >= layout.head.size());
    BOOST_TEST(layout.left_out == 0u);
}

BOOST_AUTO_TEST_CASE(memory_that_is_mapped_one_to_one_is_there_once) {
    const Range memory[] = {{0, 2 * mib}};
    const MappedRange mapped[] = {{0, 0, 4 * gib}};
    const Thread threads[] = {long_mode_thread()};
    BOOST_TEST(headers_of(lay_out(threads, memory, mapped)).size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_part_that_begins_in_a_page_keeps_its_place_in_it) {
    const Range memory[] = {{0x1'0003, 5}, {0x2'0ff0, 0x20}};
    const Thread threads[] = {long_mode_thread()};
    const Layout layout = lay_out(threads, memory, {});
    BOOST_TEST(layout.parts[0].offset % 4096 == 3u);
    BOOST_TEST(layout.parts[1].offset % 4096 == 0xff0u);
    BOOST_TEST(layout.parts[1].offset >= layout.parts[0].offset + 5);
}

BOOST_AUTO_TEST_CASE(more_mappings_than_a_file_can_name_are_left_out) {
    const Range memory[] = {{0, 2 * mib}};
    std::vector<MappedRange> mapped;
    for (std::uint64_t i = 0; i < 70'000; ++i) mapped.push_back({(i * 2) << 20, 4096, 4096});
    const Thread threads[] = {long_mode_thread()};
    const Layout layout = lay_out(threads, memory, mapped);
    const auto headers = headers_of(layout);
    BOOST_TEST(headers.size() < std::size_t{PN_XNUM});
    BOOST_TEST(headers.size() + layout.left_out == 70'002u);
    BOOST_TEST(headers.back().p_filesz == 2 * mib);  // the memory itself
}

BOOST_AUTO_TEST_CASE(each_vcpu_has_a_status_and_a_state) {
    Thread threads[] = {long_mode_thread(), long_mode_thread()};
    auto& registers = threads[1].registers;
    registers.r15 = 0x15;
    registers.rdi = 0xd1;
    registers.rip = 0xffff'ffff'8100'0000;
    registers.rsp = 0x5e;
    registers.rflags = 0x246;
    registers.cs.selector = 0x10;
    registers.fs.base = 0xf5;
    registers.gs.selector = 0x67;
    registers.cr0 = 0x8000'0001;
    registers.cr3 = 0x1234'5000;
    registers.cr4 = 0x20;
    registers.idt = {0xffff'fe00'0000'0000, 0xfff};
    threads[1].signal = 11;
    const Range memory[] = {{0, mib}};
    const Layout layout = lay_out(threads, memory, {});
    const auto header = headers_of(layout).at(0);
    BOOST_TEST(header.p_type == unsigned{PT_NOTE});
    const auto notes = notes_of(layout, header.p_offset, header.p_filesz);
    BOOST_TEST_REQUIRE(notes.size() == 4u);
    for (const std::size_t i : {0u, 1u}) {
        BOOST_TEST(notes[i].owner == "CORE");
        BOOST_TEST(notes[i].type == unsigned{NT_PRSTATUS});
        BOOST_TEST(notes[i].size == 336u);  // sizeof(struct elf_prstatus)
        BOOST_TEST(notes[i + 2].owner == "QEMU");
        BOOST_TEST(notes[i + 2].size == 432u);  // sizeof(QEMUCPUState)
    }
    const auto status = notes[1].offset;
    BOOST_TEST(at<std::uint16_t>(layout, notes[0].offset + 12) == 0u);
    BOOST_TEST(at<std::uint16_t>(layout, status + 12) == 11u);  // pr_cursig
    BOOST_TEST(at<std::uint32_t>(layout, status + 32) == 2u);   // pr_pid
    const auto of_status = [&](unsigned index) { return at<std::uint64_t>(layout, status + 112 + 8 * index); };
    BOOST_TEST(of_status(0) == 0x15u);
    BOOST_TEST(of_status(14) == 0xd1u);
    BOOST_TEST(of_status(16) == 0xffff'ffff'8100'0000);
    BOOST_TEST(of_status(17) == 0x10u);
    BOOST_TEST(of_status(18) == 0x246u);
    BOOST_TEST(of_status(19) == 0x5eu);
    BOOST_TEST(of_status(21) == 0xf5u);
    BOOST_TEST(of_status(26) == 0x67u);
    const auto state = notes[3].offset;
    BOOST_TEST(at<std::uint32_t>(layout, state + 4) == 432u);
    BOOST_TEST(at<std::uint64_t>(layout, state + 8 + 16 * 8) == 0xffff'ffff'8100'0000);  // rip
    const auto segment = [&](unsigned index) { return state + 8 + 18 * 8 + index * 24; };
    BOOST_TEST(at<std::uint32_t>(layout, segment(0)) == 0x10u);
    BOOST_TEST(at<std::uint32_t>(layout, segment(0) + 8) == 1u << 21);  // L
    BOOST_TEST(at<std::uint64_t>(layout, segment(3) + 16) == 0xf5u);
    BOOST_TEST(at<std::uint64_t>(layout, segment(9) + 16) == 0xffff'fe00'0000'0000);
    BOOST_TEST(at<std::uint32_t>(layout, segment(9) + 4) == 0xfffu);
    const auto control = [&](unsigned index) { return at<std::uint64_t>(layout, segment(10) + 8 * index); };
    BOOST_TEST(control(0) == 0x8000'0001u);
    BOOST_TEST(control(3) == 0x1234'5000u);
    BOOST_TEST(control(4) == 0x20u);
}

BOOST_AUTO_TEST_CASE(without_long_mode_it_is_a_file_of_32_bits) {
    Thread thread;  // in real mode, at 1000:0234
    thread.registers.rip = 0x234;
    thread.registers.cs.base = 0x1'0000;
    thread.registers.ss.base = 0x2'0000;
    thread.registers.rsp = 0xfffe;
    thread.registers.rbx = 0xb;
    const Thread threads[] = {thread};
    const Range memory[] = {{0, mib}, {0xfffb'0000, 0x8000}};
    const Layout layout = lay_out(threads, memory, {});
    const auto file = at<Elf32_Ehdr>(layout, 0);
    BOOST_TEST(int{file.e_ident[EI_CLASS]} == int{ELFCLASS32});
    BOOST_TEST(file.e_machine == unsigned{EM_386});
    BOOST_TEST_REQUIRE(file.e_phnum == 3u);
    const auto last = at<Elf32_Phdr>(layout, file.e_phoff + 2 * sizeof(Elf32_Phdr));
    BOOST_TEST(last.p_vaddr == 0xfffb'0000u);
    BOOST_TEST(last.p_offset == layout.parts[1].offset);
    const auto first = at<Elf32_Phdr>(layout, file.e_phoff);
    const auto notes = notes_of(layout, first.p_offset, first.p_filesz);
    BOOST_TEST_REQUIRE(notes.size() == 2u);
    BOOST_TEST(notes[0].size == 144u);
    const auto of_status = [&](unsigned index) { return at<std::uint32_t>(layout, notes[0].offset + 72 + 4 * index); };
    BOOST_TEST(of_status(0) == 0xbu);
    BOOST_TEST(of_status(12) == 0x1'0234u);                                         // eip, linear
    BOOST_TEST(of_status(15) == 0x2'fffeu);                                         // esp
    BOOST_TEST(at<std::uint64_t>(layout, notes[1].offset + 8 + 16 * 8) == 0x234u);  // as it is
    // Memory above 4 GiB needs more.
    const Range high[] = {{4 * gib, mib}};
    BOOST_TEST(headers_of(lay_out(threads, high, {})).size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_registers_of_x87_and_vectors_are_behind_the_status_of_their_thread) {
    Thread threads[] = {long_mode_thread(), long_mode_thread()};
    for (Thread& thread : threads) {
        thread.fpu.emplace();
        thread.fpu->avx = true;
    }
    threads[1].fpu->control = 0x27f;
    threads[1].fpu->xmm[2][0] = std::byte{0x22};
    threads[1].fpu->ymm_high[3][15] = std::byte{0x33};
    const Range memory[] = {{0, mib}};
    const std::vector<std::byte> more(8, std::byte{0x5a});
    const Layout layout = lay_out(threads, memory, {}, more);
    const auto header = headers_of(layout).at(0);
    const auto notes = notes_of(layout, header.p_offset, header.p_filesz - more.size());
    BOOST_TEST_REQUIRE(notes.size() == 8u);
    BOOST_TEST(at<std::uint8_t>(layout, header.p_offset + header.p_filesz - 1) == 0x5au);
    for (const std::size_t i : {0u, 3u}) {
        BOOST_TEST(notes[i].type == unsigned{NT_PRSTATUS});
        BOOST_TEST(notes[i + 1].type == unsigned{NT_FPREGSET});
        BOOST_TEST(notes[i + 1].size == 512u);
        BOOST_TEST(notes[i + 2].owner == "LINUX");
        BOOST_TEST(notes[i + 2].type == unsigned{NT_X86_XSTATE});
        BOOST_TEST(notes[i + 2].size == 832u);
        BOOST_TEST(at<std::uint64_t>(layout, notes[i + 2].offset + 464) == 7u);  // XCR0
        BOOST_TEST(at<std::uint64_t>(layout, notes[i + 2].offset + 512) == 7u);  // XSTATE_BV
    }
    BOOST_TEST(at<std::uint16_t>(layout, notes[4].offset) == 0x27fu);
    BOOST_TEST(at<std::uint8_t>(layout, notes[4].offset + 160 + 2 * 16) == 0x22u);
    BOOST_TEST(at<std::uint8_t>(layout, notes[5].offset + 576 + 3 * 16 + 15) == 0x33u);
    // Of 32 bits, and without AVX.
    Thread small[] = {Thread{}};
    small[0].fpu.emplace();
    const Layout layout_32 = lay_out(small, memory, {});
    const auto first = at<Elf32_Phdr>(layout_32, at<Elf32_Ehdr>(layout_32, 0).e_phoff);
    const auto notes_32 = notes_of(layout_32, first.p_offset, first.p_filesz);
    BOOST_TEST_REQUIRE(notes_32.size() == 3u);
    BOOST_TEST(notes_32[1].owner == "LINUX");
    BOOST_TEST(notes_32[1].type == unsigned{NT_PRXFPREG});
}

BOOST_AUTO_TEST_CASE(whatever_is_mapped_each_header_stays_inside_of_the_file) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 300; ++round) {
        std::vector<Range> memory;
        for (std::uint64_t first = random() % mib; memory.size() < 3; first += random() % gib) {
            memory.push_back({first, 1 + random() % mib});
            first += memory.back().size;
        }
        std::vector<MappedRange> mapped;
        for (int i = 0; i < 20; ++i) {
            const auto wild = random() % 4 == 0;
            mapped.push_back(
                {random(), wild ? random() : memory[random() % 3].first + random() % mib, random() % (2 * mib)});
        }
        const Thread threads[] = {long_mode_thread()};
        const Layout layout = lay_out(threads, memory, mapped);
        for (const auto& header : headers_of(layout)) {
            BOOST_TEST_REQUIRE(header.p_offset + header.p_filesz <= layout.size);
            BOOST_TEST_REQUIRE(header.p_filesz != 0u);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
