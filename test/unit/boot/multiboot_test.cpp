#include "boot/formats.hpp"
#include "boot/multiboot_header.hpp"
#include "boot/multiboot_load.hpp"
#include "linux_image.hpp"
#include "multiboot_image.hpp"
#include "plans.hpp"
#include "throws.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace asyncvm::boot;
using namespace asyncvm::test;

namespace {

namespace data = boost::unit_test::data;

constexpr std::uint64_t mib = 1 << 20;

Request request_for(std::vector<std::byte> bytes) {
    Request request;
    request.kernel = memory_image("dir/kernel", std::move(bytes));
    return request;
}

Plan plan_of(const Request& request, const Surroundings& around = surroundings()) {
    auto plan = plan_multiboot(request, around);
    check_places(plan, around);
    return plan;
}

std::string error_of(std::vector<std::byte> bytes) {
    return message_of(ErrorKind::guest_image,
                      [&] { static_cast<void>(plan_multiboot(request_for(std::move(bytes)), surroundings())); });
}

std::uint32_t information(const Plan& plan, std::uint64_t offset) {
    return value_at<std::uint32_t>(plan, plan.entry.rbx + offset);
}

/// An ELF kernel whose code begins with the header.
ElfImage elf_kernel(bool is_64 = false, std::uint32_t flags = 0) {
    auto code = code_segment();
    code.bytes = header_1(flags);
    code.bytes.resize(64);
    return ElfImage(is_64, {code, {.physical = 0x200000, .memory_size = 0x5001, .flags = 6}});
}

/// A flat file of `size` bytes with the header at `offset`, and these addresses.
std::vector<std::byte> flat_kernel(std::array<std::uint32_t, 5> addresses, std::size_t offset = 0x20,
                                   std::size_t size = 4096) {
    std::vector<std::byte> bytes(size, std::byte{0x90});
    put_bytes(bytes, offset, header_1(0x10003, {addresses.begin(), addresses.end()}));
    return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_header_is_found_up_to_its_last_legal_byte) {
    for (const std::size_t at : {0x0, 0x4, 0x1ffc - 8, 8180}) {
        std::vector<std::byte> bytes(20000);
        put_bytes(bytes, at, header_1(0));
        BOOST_TEST(find_multiboot(*memory_image("kernel", bytes)).value() == at);
    }
    for (const std::size_t at : {2, 8184, 8192}) {
        std::vector<std::byte> bytes(20000);
        put_bytes(bytes, at, header_1(0));
        BOOST_TEST(!find_multiboot(*memory_image("kernel", bytes)));
    }
    // A file that ends with it, and one that ends in it.
    BOOST_TEST(find_multiboot(*memory_image("kernel", header_1(0))).has_value());
    auto cut = header_1(0);
    cut.pop_back();
    BOOST_TEST(!find_multiboot(*memory_image("kernel", cut)));
}

BOOST_AUTO_TEST_CASE(a_magic_with_a_wrong_checksum_is_no_header) {
    auto bytes = header_1(0);
    put(bytes, 8, std::uint32_t{1});
    const auto good = header_1(0);
    bytes.insert(bytes.end(), good.begin(), good.end());
    BOOST_TEST(find_multiboot(*memory_image("kernel", bytes)).value() == 12u);
    BOOST_TEST(contains(error_of(std::vector<std::byte>(100)), "has no Multiboot header in its first 8192 bytes"));
}

BOOST_DATA_TEST_CASE(an_elf_kernel_is_placed_by_its_segments_and_starts_in_32_bits, data::make({false, true}), is_64) {
    auto request = request_for(elf_kernel(is_64).bytes());
    const auto plan = plan_of(request);
    BOOST_TEST((plan.format == BootFormat::multiboot));
    BOOST_TEST((plan.entry.mode == Mode::protected32));
    BOOST_TEST(plan.entry.rip == 0x100000u);
    BOOST_TEST(plan.entry.rax == 0x2badb002u);
    BOOST_TEST(piece_of(plan, "segment 0 of dir/kernel").address == mib);
    BOOST_TEST(piece_of(plan, "segment 1 of dir/kernel").size == 0x5001u);
    BOOST_TEST(plan.notes.empty());
}

BOOST_AUTO_TEST_CASE(the_information_has_memory_the_command_line_the_loader_and_the_memory_map) {
    auto request = request_for(elf_kernel().bytes());
    request.command_line = "one two";
    const auto plan = plan_of(request);
    BOOST_TEST(plan.entry.rbx == piece_of(plan, "Multiboot information").address);
    BOOST_TEST(plan.entry.rbx % 4 == 0u);
    BOOST_TEST(information(plan, 0) == 0x24du);  // bits 0, 2, 3, 6, 9
    BOOST_TEST(information(plan, 4) == 639u);
    BOOST_TEST(information(plan, 8) == 63 * 1024u);
    BOOST_TEST(text_at(plan, information(plan, 16)) == "dir/kernel one two");
    BOOST_TEST(information(plan, 20) == 0u);
    BOOST_TEST(text_at(plan, information(plan, 64)) == "asyncvm");
    const auto map = information(plan, 48);
    BOOST_TEST(information(plan, 44) == 3 * 24u);
    BOOST_TEST(value_at<std::uint32_t>(plan, map) == 20u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 4) == 0u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 12) == 0x9fc00u);
    BOOST_TEST(value_at<std::uint32_t>(plan, map + 20) == 1u);
    BOOST_TEST(value_at<std::uint32_t>(plan, map + 24 + 20) == 2u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 48 + 4) == mib);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 48 + 12) == 63 * mib);
    request.command_line.clear();
    const auto silent = plan_of(request);
    BOOST_TEST(text_at(silent, information(silent, 16)) == "dir/kernel");
}

BOOST_AUTO_TEST_CASE(modules_lie_on_pages_behind_the_kernels_zeros_and_the_initrd_is_the_last) {
    auto request = request_for(elf_kernel().bytes());
    request.modules.push_back({memory_image("a", std::vector<std::byte>(5000)), "with arguments"});
    request.modules.push_back({memory_image("b", std::vector<std::byte>(1)), ""});
    request.initrd = memory_image("initrd", std::vector<std::byte>(4096));
    const auto plan = plan_of(request);
    BOOST_REQUIRE(information(plan, 20) == 3u);
    const auto list = information(plan, 24);
    const auto word = [&](std::uint64_t offset) { return value_at<std::uint32_t>(plan, list + offset); };
    BOOST_TEST(word(0) == 0x206000u);
    BOOST_TEST(word(4) == 0x206000u + 5000);
    BOOST_TEST(text_at(plan, word(8)) == "a with arguments");
    BOOST_TEST(word(16) == 0x208000u);
    BOOST_TEST(word(20) == 0x208001u);
    BOOST_TEST(text_at(plan, word(24)) == "b");
    BOOST_TEST(word(32) == 0x209000u);
    BOOST_TEST(word(36) == 0x20a000u);
    BOOST_TEST(text_at(plan, word(40)) == "initrd");
    BOOST_TEST(piece_of(plan, "the module a").address == 0x206000u);
}

BOOST_AUTO_TEST_CASE(modules_without_room_are_refused_by_name) {
    auto request = request_for(elf_kernel().bytes());
    request.modules.push_back({memory_image("large", std::vector<std::byte>(63 * mib)), ""});
    BOOST_TEST(
        contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_multiboot(request, surroundings())); }),
                 "there is no room for the module large"));
}

BOOST_AUTO_TEST_CASE(addresses_place_a_flat_file) {
    // header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr
    const auto plan = plan_of(request_for(flat_kernel({0x200020, 0x200000, 0x200800, 0x203000, 0x200040})));
    const auto& piece = piece_of(plan, "dir/kernel");
    BOOST_TEST(piece.address == 0x200000u);
    BOOST_TEST(piece.offset == 0u);
    BOOST_TEST(piece.file_size == 0x800u);
    BOOST_TEST(piece.size == 0x3000u);
    BOOST_TEST(plan.entry.rip == 0x200040u);
    BOOST_TEST((information(plan, 0) & 0x20) == 0u);
}

BOOST_AUTO_TEST_CASE(addresses_of_0_mean_the_whole_file_and_no_zeros) {
    const auto plan = plan_of(request_for(flat_kernel({0x200010, 0x200000, 0, 0, 0x200040})));
    const auto& piece = piece_of(plan, "dir/kernel");
    // header_addr 0x10 above load_addr, the header at 0x20: what is loaded begins at 0x10.
    BOOST_TEST(piece.offset == 0x10u);
    BOOST_TEST(piece.file_size == 4096u - 0x10);
    BOOST_TEST(piece.size == piece.file_size);
}

BOOST_DATA_TEST_CASE(addresses_win_over_an_elf_header, data::make({false, true}), is_64) {
    // As ToaruOS: the file is placed from its start, ELF header included.
    auto code = code_segment();
    code.bytes.resize(256);
    ElfImage elf(is_64, {code});
    elf.bytes().resize(0x200);
    put_bytes(elf.bytes(), 0x100, header_1(0x10003, {0x300100, 0x300000, 0, 0x304000, 0x300180}));
    const auto plan = plan_of(request_for(elf.bytes()));
    BOOST_TEST(piece_of(plan, "dir/kernel").address == 0x300000u);
    BOOST_TEST(piece_of(plan, "dir/kernel").offset == 0u);
    BOOST_TEST(piece_of(plan, "dir/kernel").size == 0x4000u);
    BOOST_TEST(plan.entry.rip == 0x300180u);
}

BOOST_AUTO_TEST_CASE(addresses_that_contradict_each_other_are_named) {
    BOOST_TEST(
        contains(error_of(flat_kernel({0x1ff000, 0x200000, 0, 0, 0})), "header_addr 0x1ff000 and load_addr 0x200000"));
    BOOST_TEST(contains(error_of(flat_kernel({0x200021, 0x200000, 0, 0, 0})), "would begin before its start"));
    BOOST_TEST(contains(error_of(flat_kernel({0x200020, 0x200000, 0x1fffff, 0, 0})), "load_end_addr 0x1fffff is below"));
    BOOST_TEST(
        contains(error_of(flat_kernel({0x200020, 0x200000, 0x201001, 0, 0})), "is truncated: load_end_addr 0x201001"));
    BOOST_TEST(contains(error_of(flat_kernel({0x200020, 0x200000, 0, 0x200fff, 0})), "bss_end_addr 0x200fff is below"));
    BOOST_TEST(contains(error_of(flat_kernel({0x7f000020, 0x7f000000, 0, 0, 0})), "which is not all RAM"));
    auto cut = flat_kernel({0x200020, 0x200000, 0, 0, 0});
    cut.resize(0x20 + 31);
    BOOST_TEST(contains(error_of(cut), "is truncated: flags 0x10003"));
}

BOOST_AUTO_TEST_CASE(a_flat_file_needs_addresses) {
    std::vector<std::byte> bytes(4096);
    put_bytes(bytes, 0x40, header_1(3));
    BOOST_TEST(contains(error_of(bytes), "has a Multiboot header at 0x40 without addresses, and is no ELF file"));
}

BOOST_DATA_TEST_CASE(an_unknown_requirement_is_refused_by_its_bit, data::xrange(3, 16), bit) {
    BOOST_TEST(contains(error_of(elf_kernel(false, 1U << bit).bytes()), "require bit " + std::to_string(bit) + ","));
}

BOOST_DATA_TEST_CASE(other_flags_are_no_requirements, data::make({0, 1, 17, 20, 31}), bit) {
    BOOST_TEST(plan_of(request_for(elf_kernel(false, 1U << bit).bytes())).notes.empty());
}

BOOST_AUTO_TEST_CASE(there_is_no_video_and_the_information_says_so) {
    const auto plan = plan_of(request_for(elf_kernel(false, 4).bytes()));
    BOOST_TEST((information(plan, 0) & 0x1800) == 0u);
    BOOST_REQUIRE(plan.notes.size() == 1u);
    BOOST_TEST(contains(plan.notes[0], "asks for a video mode"));
}

BOOST_DATA_TEST_CASE(symbols_and_strings_are_in_memory_and_the_section_headers_say_where, data::make({false, true}), is_64) {
    auto kernel = elf_kernel(is_64);
    add_sections(kernel, is_64,
                 {{2, 0, bytes_of("symbols")},
                  {3, 0, bytes_of("strings")},
                  {1, 0x100000, bytes_of("code")},
                  {1, 0, bytes_of("comment")}});
    auto request = request_for(kernel.bytes());
    request.modules.push_back({memory_image("a", std::vector<std::byte>(1)), ""});
    const auto plan = plan_of(request);
    BOOST_TEST((information(plan, 0) & 0x20) == 0x20u);
    BOOST_TEST(information(plan, 28) == 4u);
    const std::uint64_t size = is_64 ? 64 : 40;
    BOOST_TEST(information(plan, 32) == size);
    BOOST_TEST(information(plan, 40) == 1u);
    const std::uint64_t table = information(plan, 36);
    const auto address = [&](unsigned index) -> std::uint64_t {
        const auto at = table + index * size + (is_64 ? 16 : 12);
        return is_64 ? value_at<std::uint64_t>(plan, at) : value_at<std::uint32_t>(plan, at);
    };
    const auto& symbols = piece_of(plan, "section 0 of dir/kernel");
    BOOST_TEST(address(0) == symbols.address);
    BOOST_TEST(symbols.file_size == 7u);
    BOOST_TEST(symbols.address > piece_of(plan, "module a").address);
    BOOST_TEST(address(1) == piece_of(plan, "section 1 of dir/kernel").address);
    BOOST_TEST(address(2) == 0x100000u);
    BOOST_TEST(address(3) == 0u);
}

BOOST_AUTO_TEST_CASE(section_headers_that_are_not_in_the_file_are_left_out_with_a_note) {
    auto kernel = elf_kernel();
    add_sections(kernel, false, {{2, 0, bytes_of("symbols")}});
    kernel.set<std::uint32_t>(32, 0x100000);
    const auto plan = plan_of(request_for(kernel.bytes()));
    BOOST_TEST((information(plan, 0) & 0x20) == 0u);
    BOOST_REQUIRE(plan.notes.size() == 1u);
    BOOST_TEST(contains(plan.notes[0], "0x100000 (e_shoff)"));
}

BOOST_AUTO_TEST_CASE(the_information_keeps_clear_of_the_kernel_and_of_pages_for_other_cpus) {
    const auto high = plan_of(request_for(elf_kernel().bytes()));
    BOOST_TEST(high.entry.rbx >= 0x10000u);
    BOOST_TEST(piece_of(high, "information").address + piece_of(high, "information").size <= 0x90000u);
    // A kernel in low memory, as in QEMU's bug: 0x4000 to 0x9a000.
    auto low = elf_kernel();
    low.set_word(low.program_field(0, 3), 0x4000).set_word(low.program_field(0, 5), 0x96000);
    const auto plan = plan_of(request_for(low.bytes()));
    BOOST_TEST((plan.entry.rbx >= 0x9a000u || *plan.entry.rsp <= 0x4000u));
}

BOOST_AUTO_TEST_CASE(calls_of_a_bios_are_refused_where_the_machine_has_a_place_for_one) {
    auto around = surroundings();
    const auto names = [&around](const Request& request) {
        std::string text;
        for (const auto& piece : plan_multiboot(request, around).pieces) text += piece.name + ';';
        return text;
    };
    const auto request = request_for(elf_kernel().bytes());
    around.map = {{0, 64 * mib, MemoryKind::ram}};
    BOOST_TEST(!contains(names(request), "BIOS"));
    around.map = {{0, 0x9fc00, MemoryKind::ram}, {0xe0000, 0x20000, MemoryKind::reserved}, {mib, 63 * mib, MemoryKind::ram}};
    BOOST_TEST(contains(names(request), "the interrupt vectors;the absent BIOS;"));
    const auto plan = plan_multiboot(request, around);
    BOOST_TEST(piece_of(plan, "the interrupt vectors").address == 0u);
    BOOST_TEST(piece_of(plan, "the absent BIOS").address == 0xff000u);
    BOOST_TEST((value_at<std::uint32_t>(plan, 4 * 0x15) >> 16) == 0xff00u);
    // A kernel that is linked there keeps its place.
    auto low = elf_kernel();
    low.set_word(low.program_field(1, 3), 0x200).set_word(low.program_field(1, 5), 0x1000);
    BOOST_TEST(!contains(names(request_for(low.bytes())), "the interrupt vectors"));
}

BOOST_AUTO_TEST_CASE(low_and_high_memory_end_at_the_first_hole) {
    const auto basic = [](std::vector<MemoryRange> map) {
        const auto memory = basic_memory(map);
        return std::pair(memory.lower, memory.upper);
    };
    BOOST_TEST((basic({{0, 64 * mib, MemoryKind::ram}}) == std::pair(640U, 63 * 1024U)));
    BOOST_TEST((basic({{0, 0x8000, MemoryKind::ram}}) == std::pair(32U, 0U)));
    BOOST_TEST((basic({{0, 0x9fc00, MemoryKind::ram},
                       {mib, mib, MemoryKind::ram},
                       {2 * mib, mib, MemoryKind::acpi_reclaimable},
                       {3 * mib, mib, MemoryKind::ram}}) == std::pair(639U, 1024U)));
    BOOST_TEST((basic({{mib, mib, MemoryKind::ram}, {2 * mib, mib, MemoryKind::ram}}) == std::pair(0U, 2048U)));
}

BOOST_AUTO_TEST_CASE(multiboot_kernels_are_detected_elf_or_not) {
    BOOST_TEST((detect(*memory_image("k", elf_kernel().bytes())) == BootFormat::multiboot));
    BOOST_TEST((detect(*memory_image("k", elf_kernel(true).bytes())) == BootFormat::multiboot));
    BOOST_TEST((detect(*memory_image("k", flat_kernel({0x200020, 0x200000, 0, 0, 0}))) == BootFormat::multiboot));
    auto both = elf_kernel();
    put_bytes(both.bytes(), both.bytes().size() + 8 - both.bytes().size() % 8, header_2({}));
    BOOST_TEST((detect(*memory_image("k", both.bytes())) == BootFormat::multiboot2));
    BOOST_TEST((plan_guest(BootFormat::multiboot, request_for(both.bytes()), surroundings()).entry.rax == 0x2badb002u));
    BOOST_TEST((plan_guest(BootFormat::multiboot2, request_for(both.bytes()), surroundings()).entry.rax == 0x36d76289u));
}
