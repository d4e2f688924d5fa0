#include "boot/formats.hpp"
#include "elf_image.hpp"
#include "linux_image.hpp"
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

Request request_for(const ElfImage& kernel) {
    Request request;
    request.kernel = kernel.image();
    return request;
}

Plan plan_of(const ElfImage& kernel) {
    const auto around = surroundings();
    auto plan = plan_elf(request_for(kernel), around);
    check_places(plan, around);
    return plan;
}

std::string error_of(const Request& request, Plan (*planner)(const Request&, const Surroundings&) = plan_elf) {
    return message_of(ErrorKind::guest_image, [&] { static_cast<void>(planner(request, surroundings())); });
}

std::vector<std::byte> entry_note(std::uint32_t entry) {
    std::vector<std::byte> value;
    put(value, 0, entry);
    return note("Xen", 18, value);
}

ElfImage pvh_image(bool is_64 = true) {
    return ElfImage(is_64, {code_segment(),
                            {.physical = 0x200000, .memory_size = 0x5001, .flags = 6},
                            {.type = 4, .bytes = entry_note(0x100020)}});
}

}  // namespace

BOOST_AUTO_TEST_CASE(segments_go_to_their_physical_addresses_with_zeros_behind_them) {
    auto code = code_segment(100);
    code.virtual_address = 0xffffffff80100000;
    code.memory_size = 0x3000;
    const auto plan = plan_of(ElfImage(true, {code}, 0x100004));
    const auto& piece = piece_of(plan, "segment 0 of kernel.elf");
    BOOST_TEST(piece.address == mib);
    BOOST_TEST(piece.size == 0x3000u);
    BOOST_TEST(piece.file_size == 100u);
    BOOST_TEST(piece.image != nullptr);
    BOOST_TEST(plan.entry.rip == 0x100004u);
    BOOST_TEST(plan.notes.empty());
}

BOOST_AUTO_TEST_CASE(the_mode_follows_from_the_machine_and_the_registers_are_a_flat_guests) {
    const auto in_64 = plan_of(ElfImage(true, {code_segment()}));
    BOOST_TEST((in_64.entry.mode == Mode::long64));
    BOOST_TEST((in_64.format == BootFormat::elf));
    BOOST_TEST(in_64.description == "ELF64 x86-64 kernel, entered at 0x100000 in 64-bit mode");
    const auto in_32 = plan_of(ElfImage(false, {code_segment()}));
    BOOST_TEST((in_32.entry.mode == Mode::protected32));
    BOOST_TEST(in_32.entry.rbx == 0u);
    BOOST_TEST(in_32.entry.rax == 0u);
    BOOST_TEST(!in_32.entry.rsp.has_value());
    BOOST_TEST(!in_32.entry.linux_selectors);
    BOOST_TEST((plan_of(ElfImage(false, {code_segment()}).set<std::uint16_t>(18, 62)).entry.mode == Mode::long64));
}

BOOST_AUTO_TEST_CASE(a_virtual_entry_is_explained) {
    auto code = code_segment();
    code.virtual_address = 0xffffffff80100000;
    const auto plan = plan_of(ElfImage(true, {code}, 0xffffffff80100010));
    BOOST_TEST(plan.entry.rip == 0x100010u);
    BOOST_REQUIRE(plan.notes.size() == 1u);
    BOOST_TEST(contains(plan.notes[0], "entry 0xffffffff80100010 of kernel.elf is a virtual address"));
    BOOST_TEST(contains(plan.notes[0], "entered at 0x100010"));
}

BOOST_AUTO_TEST_CASE(what_cannot_work_is_explained) {
    const auto nowhere = plan_of(ElfImage(true, {code_segment()}, 0x300000));
    BOOST_REQUIRE(nowhere.notes.size() == 1u);
    BOOST_TEST(contains(nowhere.notes[0], "entry 0x300000 (e_entry) is in no segment"));
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {code_segment()}, 0xffffffff80100000))),
                        "entry 0xffffffff80100000 of kernel.elf is out of reach"));
    auto around = surroundings();
    around.map.push_back({1ULL << 32, 64 * mib, MemoryKind::ram});
    const auto high =
        plan_elf(request_for(ElfImage(true, {code_segment(), {.physical = 1ULL << 32, .memory_size = 4096}})), around);
    BOOST_REQUIRE(high.notes.size() == 1u);
    BOOST_TEST(contains(high.notes[0], "segment 1 of kernel.elf is above 4 GiB, at 0x100000000"));
    const auto independent = plan_of(ElfImage(true, {code_segment()}).set<std::uint16_t>(16, 3));
    BOOST_REQUIRE(independent.notes.size() == 1u);
    BOOST_TEST(contains(independent.notes[0], "not relocated"));
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {{.type = 3}, code_segment()}))), "PT_INTERP"));
}

BOOST_AUTO_TEST_CASE(overlapping_segments_and_segments_without_ram_are_named) {
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {code_segment(64), {.physical = 0x10003f, .memory_size = 1}}))),
                        "segment 1 of kernel.elf needs the 1 bytes from 0x10003f on, where segment 0 of kernel.elf is"));
    // Zeros of one under the bytes of another would erase them, or not, by their order.
    auto zeros = code_segment(64);
    zeros.memory_size = 0x1001;
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {zeros, {.physical = 0x101000, .memory_size = 1}}))),
                        "where segment 0 of kernel.elf is"));
    BOOST_TEST(
        contains(error_of(request_for(ElfImage(true, {code_segment(), {.physical = 0x9f000, .memory_size = 0x1000}}))),
                 "segment 1 of kernel.elf needs 4096 bytes at 0x9f000, which is not all RAM"));
    // Higher halves without AT() in their linker script, and addresses of devices: no --memory gets there.
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {{.physical = 0xffffffff80100000, .memory_size = 0x1000}}))),
                        "link it so that its physical addresses, p_paddr in ELF, are there"));
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {{.physical = 0xfeb00000, .memory_size = 0x1000}}))), "p_paddr"));
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {{.physical = 0xa0000, .memory_size = 0x1000}}))), "p_paddr"));
    for (const std::uint64_t above : {0xb0000000ULL, 0x200000000ULL})
        BOOST_TEST(contains(error_of(request_for(ElfImage(true, {{.physical = above, .memory_size = 0x1000}}))),
                            "raise --memory"));
    // Side by side, on one page, is fine.
    static_cast<void>(plan_of(ElfImage(true, {code_segment(64), {.physical = 0x100040, .memory_size = 1}})));
}

BOOST_AUTO_TEST_CASE(a_page_of_headers_below_one_mib_is_explained) {
    // As "ld -Ttext=0x100000" makes it.
    const ElfImage linked(true, {{.physical = 0xff000, .bytes = std::vector<std::byte>(16)}, code_segment()});
    constexpr std::size_t offset_of_the_first = 64 + 8;
    BOOST_TEST(contains(error_of(request_for(ElfImage(linked).set<std::uint64_t>(offset_of_the_first, 0))),
                        "segment 0 of kernel.elf begins with the ELF header (p_offset 0) at 0xff000"));
    BOOST_TEST(contains(error_of(request_for(linked)), "segment 0 of kernel.elf needs 16 bytes at 0xff000"));
}

BOOST_AUTO_TEST_CASE(a_kernel_without_a_protocol_is_told_nothing) {
    auto request = request_for(ElfImage(true, {code_segment()}));
    request.command_line = "quiet";
    BOOST_TEST(contains(error_of(request), "told of --append"));
    request.initrd = memory_image("initrd", std::vector<std::byte>(1));
    BOOST_TEST(contains(error_of(request), "told of --initrd"));
    request.modules.push_back({memory_image("module", std::vector<std::byte>(1)), ""});
    BOOST_TEST(contains(error_of(request), "told of --module"));
}

BOOST_DATA_TEST_CASE(pvh_starts_at_its_note_in_32_bits_with_the_start_info_in_ebx, data::make({false, true}), is_64) {
    auto request = request_for(pvh_image(is_64));
    request.command_line = "console=ttyS0";
    request.modules.push_back({memory_image("one", std::vector<std::byte>(5000)), "with arguments"});
    request.initrd = memory_image("initrd", std::vector<std::byte>(3));
    const auto around = surroundings();
    const auto plan = plan_pvh(request, around);
    check_places(plan, around);
    BOOST_TEST((plan.entry.mode == Mode::protected32));
    BOOST_TEST((plan.format == BootFormat::pvh));
    BOOST_TEST(plan.entry.rip == 0x100020u);
    BOOST_TEST(plan.entry.rax == 0u);
    const auto info = plan.entry.rbx;
    BOOST_TEST(info == piece_of(plan, "start info").address);
    BOOST_TEST(info < 0x90000u);
    BOOST_TEST(value_at<std::uint32_t>(plan, info) == 0x336ec578u);
    BOOST_TEST(value_at<std::uint32_t>(plan, info + 4) == 1u);
    BOOST_TEST(value_at<std::uint32_t>(plan, info + 8) == 0u);
    BOOST_TEST(value_at<std::uint32_t>(plan, info + 12) == 2u);
    const auto list = value_at<std::uint64_t>(plan, info + 16);
    BOOST_TEST(text_at(plan, value_at<std::uint64_t>(plan, info + 24)) == "console=ttyS0");
    BOOST_TEST(value_at<std::uint64_t>(plan, info + 32) == 0xe0000u);
    const auto map = value_at<std::uint64_t>(plan, info + 40);
    BOOST_TEST(value_at<std::uint32_t>(plan, info + 48) == 3u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 8) == 0x9fc00u);
    BOOST_TEST(value_at<std::uint32_t>(plan, map + 16) == 1u);
    BOOST_TEST(value_at<std::uint64_t>(plan, map + 48) == mib);
    BOOST_TEST(value_at<std::uint32_t>(plan, map + 24 + 16) == 2u);
    // The initrd is the first module; each begins on a page behind the kernel's zeros.
    BOOST_TEST(value_at<std::uint64_t>(plan, list) == piece_of(plan, "initrd").address);
    BOOST_TEST(piece_of(plan, "initrd").address == 0x206000u);
    BOOST_TEST(value_at<std::uint64_t>(plan, list + 8) == 3u);
    BOOST_TEST(value_at<std::uint64_t>(plan, list + 32) == 0x207000u);
    BOOST_TEST(value_at<std::uint64_t>(plan, list + 40) == 5000u);
    BOOST_TEST(text_at(plan, value_at<std::uint64_t>(plan, list + 48)) == "one with arguments");
}

BOOST_AUTO_TEST_CASE(pvh_without_modules_or_acpi_says_so) {
    auto around = surroundings();
    around.rsdp = 0;
    const auto plan = plan_pvh(request_for(pvh_image()), around);
    BOOST_TEST(value_at<std::uint32_t>(plan, plan.entry.rbx + 12) == 0u);
    BOOST_TEST(value_at<std::uint64_t>(plan, plan.entry.rbx + 16) == 0u);
    BOOST_TEST(value_at<std::uint64_t>(plan, plan.entry.rbx + 32) == 0u);
    BOOST_TEST(text_at(plan, value_at<std::uint64_t>(plan, plan.entry.rbx + 24)) == "");
}

BOOST_AUTO_TEST_CASE(pvh_needs_its_note_and_an_entry_in_reach) {
    BOOST_TEST(contains(error_of(request_for(ElfImage(true, {code_segment()})), plan_pvh), "has no PVH entry"));
    std::vector<std::byte> value;
    put(value, 0, std::uint64_t{0x1'0000'0000});
    BOOST_TEST(contains(
        error_of(request_for(ElfImage(true, {code_segment(), {.type = 4, .bytes = note("Xen", 18, value)}})), plan_pvh),
        "is 0x100000000, out of reach"));
}

BOOST_AUTO_TEST_CASE(the_start_info_keeps_clear_of_a_kernel_in_low_memory) {
    ElfImage image(true, {{.physical = 0x1000, .memory_size = 0x8f000, .bytes = std::vector<std::byte>(64)},
                          {.type = 4, .bytes = entry_note(0x1000)}});
    const auto around = surroundings();
    const auto plan = plan_pvh(request_for(image), around);
    check_places(plan, around);
    const auto stack = *plan.entry.rsp;
    BOOST_REQUIRE(plan.reserved.size() == 1u);
    BOOST_TEST(plan.reserved[0].address + plan.reserved[0].size == stack);
    BOOST_TEST((stack <= 0x1000u || stack > 0x90000u));
}

BOOST_AUTO_TEST_CASE(a_file_with_a_pvh_note_is_detected) {
    BOOST_TEST((detect(*pvh_image().image()) == BootFormat::pvh));
    BOOST_TEST((detect(*pvh_image(false).image()) == BootFormat::pvh));
    BOOST_TEST((detect(*ElfImage(true, {code_segment()}).image()) == BootFormat::elf));
    BOOST_TEST((plan_guest(BootFormat::pvh, request_for(pvh_image()), surroundings()).format == BootFormat::pvh));
    BOOST_TEST((plan_guest(BootFormat::elf, request_for(pvh_image()), surroundings()).format == BootFormat::elf));
}

BOOST_AUTO_TEST_CASE(a_plan_knows_an_elf_file_of_64_bits_in_whatever_mode_it_starts) {
    for (const bool is_64 : {false, true}) {
        const auto kernel = pvh_image(is_64);
        const auto plan = plan_pvh(request_for(kernel), surroundings());
        BOOST_TEST((plan.entry.mode == Mode::protected32));
        BOOST_TEST(plan.elf64 == is_64);
    }
    BOOST_TEST(!plan_flat(request_for(pvh_image()), surroundings()).elf64);
}
