#include "boot/formats.hpp"
#include "boot/multiboot_header.hpp"
#include "linux_image.hpp"
#include "multiboot_image.hpp"
#include "plans.hpp"
#include "throws.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <fmt/format.h>

#include <optional>

using namespace asyncvm;
using namespace asyncvm::boot;
using namespace asyncvm::test;

namespace {

namespace data = boost::unit_test::data;

constexpr std::uint64_t mib = 1 << 20;

/// An ELF kernel at 1 MiB with this header at its start.
std::vector<std::byte> kernel_with(const std::vector<HeaderTag>& tags, bool is_64 = true, std::uint64_t size = 0x5001) {
    auto code = code_segment();
    code.bytes = header_2(tags);
    ElfImage elf(is_64, {code, {.physical = 0x200000, .memory_size = size, .flags = 6}});
    return elf.bytes();
}

/// A flat file with the header at 0x20.
std::vector<std::byte> flat_with(const std::vector<HeaderTag>& tags) {
    std::vector<std::byte> bytes(4096);
    put_bytes(bytes, 0x20, header_2(tags));
    return bytes;
}

Request request_for(std::vector<std::byte> bytes) {
    Request request;
    request.kernel = memory_image("dir/kernel", std::move(bytes));
    return request;
}

Plan plan_of(const Request& request, const Surroundings& around = surroundings()) {
    auto plan = plan_multiboot2(request, around);
    check_places(plan, around);
    return plan;
}

std::string error_of(std::vector<std::byte> bytes, const Surroundings& around = surroundings()) {
    return message_of(ErrorKind::guest_image,
                      [&] { static_cast<void>(plan_multiboot2(request_for(std::move(bytes)), around)); });
}

/// The address of the `nth` tag of this type behind its type and size, by a walk as a kernel does it.
std::optional<std::uint64_t> find_tag(const Plan& plan, std::uint32_t type, unsigned nth = 0) {
    const std::uint64_t base = plan.entry.rbx;
    const std::uint64_t end = base + value_at<std::uint32_t>(plan, base);
    for (std::uint64_t at = base + 8; at < end;) {
        const auto size = value_at<std::uint32_t>(plan, at + 4);
        BOOST_REQUIRE(size >= 8u);
        BOOST_TEST(at % 8 == 0u);
        if (value_at<std::uint32_t>(plan, at) == type && nth-- == 0) return at + 8;
        at += (size + 7) / 8 * 8;
    }
    return std::nullopt;
}

std::uint32_t word(const Plan& plan, std::uint64_t at) { return value_at<std::uint32_t>(plan, at); }

/// ACPI tables whose RSDP has this revision.
Surroundings with_rsdp(std::uint8_t revision, std::uint64_t size = 64) {
    auto around = surroundings();
    auto& table = around.tables[0];
    table.size = size;
    table.bytes.assign(size, std::byte{0});
    for (std::size_t i = 0; i < size; ++i) table.bytes[i] = static_cast<std::byte>(i);
    table.bytes[15 + 16] = static_cast<std::byte>(revision);
    around.rsdp = table.address + 16;
    return around;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_multiboot2_header_is_found_up_to_its_last_legal_byte) {
    for (const std::size_t at : {0x0, 0x8, 32768 - 24}) {
        std::vector<std::byte> bytes(40000);
        put_bytes(bytes, at, header_2({}));
        BOOST_TEST(find_multiboot2(*memory_image("kernel", bytes)).value() == at);
        BOOST_TEST(read_multiboot2(*memory_image("kernel", bytes)).offset == at);
    }
    for (const std::size_t at : {4, 32768 - 8, 32768}) {
        std::vector<std::byte> bytes(40000);
        put_bytes(bytes, at, header_2({}));
        BOOST_TEST(!find_multiboot2(*memory_image("kernel", bytes)));
    }
    auto wrong = header_2({});
    put(wrong, 12, std::uint32_t{0});
    BOOST_TEST(contains(error_of(wrong), "has no Multiboot 2 header in its first 32768 bytes"));
}

BOOST_AUTO_TEST_CASE(a_damaged_header_is_named) {
    const auto with = [](std::uint32_t architecture, std::uint32_t length) {
        auto bytes = kernel_with({});
        const auto at = *find_multiboot2(*memory_image("kernel", bytes));
        put(bytes, at + 4, architecture);
        put(bytes, at + 8, length);
        put(bytes, at + 12, 0U - 0xe85250d6 - architecture - length);
        return error_of(bytes);
    };
    BOOST_TEST(contains(with(4, 24), "its architecture is 4, not 0 (i386)"));
    BOOST_TEST(contains(with(0, 15), "its header_length is 15"));
    BOOST_TEST(contains(with(0, 0xffff'fff8), "its header_length is 4294967288"));
    auto bytes = kernel_with({{1, 0, {6}}});
    const auto tag = *find_multiboot2(*memory_image("kernel", bytes)) + 16;
    put(bytes, tag + 4, std::uint32_t{7});
    BOOST_TEST(contains(error_of(bytes), "tag 1 has 7 bytes"));
    put(bytes, tag + 4, std::uint32_t{0xffff'ffff});
    BOOST_TEST(contains(error_of(bytes), "tag 1 has 4294967295 bytes"));
    for (const std::uint16_t type : {2, 3, 10}) {
        BOOST_TEST(contains(error_of(kernel_with({{type, 0, {}}})), fmt::format("tag {} has 8 bytes, not", type)));
    }
}

BOOST_DATA_TEST_CASE(a_kernel_starts_in_32_bits_with_the_information_in_ebx, data::make({false, true}), is_64) {
    auto request = request_for(kernel_with({}, is_64));
    request.command_line = "one two";
    const auto plan = plan_of(request);
    BOOST_TEST((plan.format == BootFormat::multiboot2));
    BOOST_TEST((plan.entry.mode == Mode::protected32));
    BOOST_TEST(plan.entry.rip == 0x100000u);
    BOOST_TEST(plan.entry.rax == 0x36d76289u);
    BOOST_TEST(plan.entry.rbx % 8 == 0u);
    BOOST_TEST(plan.entry.rbx == piece_of(plan, "Multiboot 2 information").address);
    BOOST_TEST(word(plan, plan.entry.rbx) == piece_of(plan, "Multiboot 2 information").size);
    BOOST_TEST(text_at(plan, find_tag(plan, 1).value()) == "dir/kernel one two");
    BOOST_TEST(text_at(plan, find_tag(plan, 2).value()) == "asyncvm");
    BOOST_TEST(!find_tag(plan, 3));
    BOOST_TEST(!find_tag(plan, 9));
    BOOST_TEST(find_tag(plan, 0).has_value());
}

BOOST_AUTO_TEST_CASE(the_memory_is_in_two_tags) {
    const auto plan = plan_of(request_for(kernel_with({})));
    const auto basic = find_tag(plan, 4).value();
    BOOST_TEST(word(plan, basic) == 639u);
    BOOST_TEST(word(plan, basic + 4) == 63 * 1024u);
    const auto map = find_tag(plan, 6).value();
    BOOST_TEST(word(plan, map - 4) == 16 + 3 * 24u);
    BOOST_TEST(word(plan, map) == 24u);
    BOOST_TEST(word(plan, map + 4) == 0u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 8 + 8) == 0x9fc00u);
    BOOST_TEST(word(plan, map + 8 + 16) == 1u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 8 + 48) == mib);
    BOOST_TEST(word(plan, map + 8 + 24 + 16) == 2u);
}

BOOST_AUTO_TEST_CASE(each_module_has_a_tag_with_its_command_line) {
    auto request = request_for(kernel_with({}));
    request.modules.push_back({memory_image("a", std::vector<std::byte>(5000)), "with arguments"});
    request.initrd = memory_image("initrd", std::vector<std::byte>(1));
    const auto plan = plan_of(request);
    const auto first = find_tag(plan, 3).value();
    BOOST_TEST(word(plan, first) == 0x206000u);
    BOOST_TEST(word(plan, first + 4) == 0x206000u + 5000);
    BOOST_TEST(text_at(plan, first + 8) == "a with arguments");
    const auto second = find_tag(plan, 3, 1).value();
    BOOST_TEST(word(plan, second) == 0x208000u);
    BOOST_TEST(text_at(plan, second + 8) == "initrd");
}

BOOST_AUTO_TEST_CASE(the_rsdp_is_copied_by_its_revision) {
    const auto request = request_for(kernel_with({}));
    const auto both = plan_of(request, with_rsdp(2));
    const auto old_copy = find_tag(both, 14).value();
    BOOST_TEST(word(both, old_copy - 4) == 28u);
    BOOST_TEST(value_at<std::uint8_t>(both, old_copy + 19) == 16 + 19);
    const auto new_copy = find_tag(both, 15).value();
    BOOST_TEST(word(both, new_copy - 4) == 44u);
    BOOST_TEST(value_at<std::uint8_t>(both, new_copy + 35) == 16 + 35);
    const auto first = plan_of(request, with_rsdp(0));
    BOOST_TEST(find_tag(first, 14).has_value());
    BOOST_TEST(!find_tag(first, 15));
    // A table that ends too early has no RSDP to copy.
    const auto cut = plan_of(request, with_rsdp(2, 16 + 35));
    BOOST_TEST(find_tag(cut, 14).has_value());
    BOOST_TEST(!find_tag(cut, 15));
    BOOST_TEST(!find_tag(plan_of(request), 14));
    auto none = with_rsdp(2);
    none.rsdp = 0;
    BOOST_TEST(!find_tag(plan_of(request, none), 14));
}

BOOST_AUTO_TEST_CASE(sections_have_a_tag_with_their_headers) {
    auto code = code_segment();
    code.bytes = header_2({});
    ElfImage kernel(true, {code});
    add_sections(kernel, true, {{2, 0, bytes_of("symbols")}, {3, 0, bytes_of("strings")}});
    const auto plan = plan_of(request_for(kernel.bytes()));
    const auto tag = find_tag(plan, 9).value();
    BOOST_TEST(word(plan, tag - 4) == 20 + 2 * 64u);
    BOOST_TEST(word(plan, tag) == 2u);
    BOOST_TEST(word(plan, tag + 4) == 64u);
    BOOST_TEST(word(plan, tag + 8) == 1u);
    BOOST_TEST(value_at<std::uint64_t>(plan, tag + 12 + 16) == piece_of(plan, "section 0 of dir/kernel").address);
}

BOOST_AUTO_TEST_CASE(addresses_and_an_entry_place_a_flat_file) {
    const auto plan =
        plan_of(request_for(flat_with({{2, 0, {0x300020, 0x300000, 0x300800, 0x304000}}, {3, 0, {0x300100}}})));
    const auto& piece = piece_of(plan, "dir/kernel");
    BOOST_TEST(piece.address == 0x300000u);
    BOOST_TEST(piece.file_size == 0x800u);
    BOOST_TEST(piece.size == 0x4000u);
    BOOST_TEST(plan.entry.rip == 0x300100u);
    BOOST_TEST(word(plan, find_tag(plan, 21).value()) == 0x300000u);
    // All ones: the file from its start.
    const auto whole = plan_of(request_for(flat_with({{2, 0, {0x300020, 0xffff'ffff, 0, 0}}, {3, 0, {0x300100}}})));
    BOOST_TEST(piece_of(whole, "dir/kernel").address == 0x300000u);
    BOOST_TEST(piece_of(whole, "dir/kernel").file_size == 4096u);
    BOOST_TEST(contains(error_of(flat_with({{2, 0, {0x300020, 0x300000, 0, 0}}})), "without an entry (tag 3)"));
    BOOST_TEST(contains(error_of(flat_with({})), "has a Multiboot 2 header at 0x20 without addresses, and is no ELF file"));
}

BOOST_AUTO_TEST_CASE(an_entry_tag_wins_over_the_elf_entry_and_one_for_efi_does_not) {
    BOOST_TEST(plan_of(request_for(kernel_with({{3, 0, {0x100020}}}))).entry.rip == 0x100020u);
    BOOST_TEST(plan_of(request_for(kernel_with({{8, 0, {0x100020}}, {9, 0, {0x100030}}}))).entry.rip == 0x100000u);
}

BOOST_AUTO_TEST_CASE(information_that_is_required_and_not_there_is_refused_by_number) {
    static_cast<void>(plan_of(request_for(kernel_with({{1, 0, {1, 2, 3, 4, 6, 21}}}))));
    BOOST_TEST(contains(error_of(kernel_with({{1, 0, {6, 8}}})), "requires information tag 8 (tag 1"));
    BOOST_TEST(contains(error_of(kernel_with({{1, 0, {15}}})),
                        "tag 15 (tag 1 of its Multiboot 2 header), which can't be given: "
                        "this machine has no ACPI tables"));
    BOOST_TEST(contains(error_of(kernel_with({{1, 0, {9}}})), "requires information tag 9"));
    static_cast<void>(plan_of(request_for(kernel_with({{1, 1, {8, 15, 99}}}))));
    static_cast<void>(plan_of(request_for(kernel_with({{1, 0, {14, 15}}})), with_rsdp(2)));
}

BOOST_AUTO_TEST_CASE(tags_that_are_required_and_not_known_are_refused_by_number) {
    BOOST_TEST(contains(error_of(kernel_with({{11, 0, {}}})), "with tag 11, which is required"));
    static_cast<void>(plan_of(request_for(kernel_with({{11, 1, {}}, {4, 0, {3}}, {6, 0, {}}, {7, 0, {}}}))));
    BOOST_TEST(contains(error_of(kernel_with({{5, 0, {1024, 768, 32}}})), "needs a framebuffer (tag 5"));
    static_cast<void>(plan_of(request_for(kernel_with({{5, 1, {1024, 768, 32}}}))));
}

BOOST_AUTO_TEST_CASE(a_relocatable_kernel_is_moved_only_if_it_does_not_fit_where_it_is_linked) {
    const HeaderTag low{10, 0, {0x100000, 0x3ff'ffff, 0x20'0000, 1}};
    const auto linked = plan_of(request_for(kernel_with({low})));
    BOOST_TEST(linked.entry.rip == 0x100000u);
    BOOST_TEST(word(linked, find_tag(linked, 21).value()) == 0x100000u);
    // Something of the board is where the second segment would go.
    auto around = surroundings();
    around.tables.push_back({.name = "a table", .address = 0x201000, .size = 16, .bytes = std::vector<std::byte>(16)});
    const auto moved = plan_of(request_for(kernel_with({low})), around);
    BOOST_TEST(piece_of(moved, "segment 0").address == 0x400000u);
    BOOST_TEST(piece_of(moved, "segment 1").address == 0x500000u);
    BOOST_TEST(moved.entry.rip == 0x400000u);
    BOOST_TEST(word(moved, find_tag(moved, 21).value()) == 0x400000u);
    // An entry of the header's moves, too; the highest place is preferred on demand.
    const auto high =
        plan_of(request_for(kernel_with({{10, 0, {0x100000, 0x3ff'ffff, 0x1000, 2}}, {3, 0, {0x100020}}})), around);
    BOOST_TEST(piece_of(high, "segment 0").address == 0x4000000u - 0x106000);
    BOOST_TEST(high.entry.rip == 0x4000000u - 0x106000 + 0x20);
    BOOST_TEST(
        contains(error_of(kernel_with({{10, 0, {0x100000, 0x2f'ffff, 0x1000, 0}}}), around),
                 "there is no room for dir/kernel, which needs 0x105001 bytes at 0x100000 or, aligned to 0x1000, between "
                 "0x100000 and 0x2fffff"));
    BOOST_TEST(contains(error_of(kernel_with({{10, 0, {0, 0xffff'ffff, 3, 0}}})), "alignment of 0x3, no power of 2"));
    BOOST_TEST(
        contains(error_of(kernel_with({}), around), "segment 1 of dir/kernel needs the 20481 bytes from 0x200000 on"));
}
