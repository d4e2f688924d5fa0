#include "boot/formats.hpp"
#include "linux_image.hpp"
#include "plans.hpp"
#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <iterator>
#include <memory>
#include <random>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::check_places;
using asyncvm::test::contains;
using asyncvm::test::LinuxImage;
using asyncvm::test::message_of;
using asyncvm::test::surroundings;

namespace {

constexpr std::uint64_t mib = 1 << 20;

Request request_for(const LinuxImage& kernel) {
    Request request;
    request.kernel = kernel.image();
    return request;
}

Plan plan_of(const LinuxImage& kernel) { return plan_bzimage(request_for(kernel), surroundings()); }

std::string error_of(const LinuxImage& kernel, const Surroundings& around = surroundings()) {
    return message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request_for(kernel), around)); });
}

const Piece& piece(const Plan& plan, std::string_view name) {
    const auto found = std::ranges::find_if(plan.pieces, [&](const Piece& each) { return contains(each.name, name); });
    BOOST_REQUIRE_MESSAGE(found != plan.pieces.end(), "there is no piece " << name);
    return *found;
}

template <typename T>
T field(const Plan& plan, std::size_t offset) {
    T value{};
    std::memcpy(&value, piece(plan, "zero page").bytes.data() + offset, sizeof value);
    return value;
}

std::vector<std::byte> some_bytes(std::size_t size) { return std::vector<std::byte>(size, std::byte{0x5a}); }

}  // namespace

BOOST_AUTO_TEST_CASE(the_payload_goes_to_pref_address_to_the_end_of_the_file) {
    LinuxImage kernel(4096);
    // Debian's kernels are longer than syssize says.
    kernel.set<std::uint32_t>(0x1f4, 3000 / 16);
    const auto plan = plan_of(kernel);
    const auto& payload = piece(plan, "vmlinuz");
    BOOST_TEST(payload.address == 16 * mib);
    BOOST_TEST(payload.offset == LinuxImage::payload_at);
    BOOST_TEST(payload.file_size == 4096u);
    BOOST_TEST(payload.size == 4096u);
    BOOST_TEST(plan.description == "Linux 6.1.0-test, bzImage, boot protocol 2.15");
    BOOST_REQUIRE(plan.reserved.size() == 1u);
    BOOST_TEST(plan.reserved[0].address == 16 * mib + 4096);
    BOOST_TEST(plan.reserved[0].size == mib - 4096);
}

BOOST_AUTO_TEST_CASE(without_setup_sects_there_are_four) {
    LinuxImage kernel(4096);
    kernel.set<std::uint8_t>(0x1f1, 0).set<std::uint32_t>(0x1f4, 1);
    BOOST_TEST(piece(plan_of(kernel), "vmlinuz").offset == 5 * 512u);
}

BOOST_AUTO_TEST_CASE(the_entry_is_64_bit_with_the_flag_and_a_protocol_that_has_it) {
    LinuxImage kernel;
    const auto plan = plan_of(kernel);
    BOOST_TEST((plan.entry.mode == Mode::long64));
    BOOST_TEST(plan.entry.rip == 16 * mib + 0x200);
    BOOST_TEST(plan.entry.rsi == piece(plan, "zero page").address);
    BOOST_TEST(plan.entry.linux_selectors);
    for (auto& other : {LinuxImage().set<std::uint16_t>(0x236, 0x7e), LinuxImage().set<std::uint16_t>(0x206, 0x020b),
                        LinuxImage().set<std::uint16_t>(0x206, 0x020a)}) {
        const auto in_32_bits = plan_of(other);
        BOOST_TEST((in_32_bits.entry.mode == Mode::protected32));
        BOOST_TEST(in_32_bits.entry.rip == 16 * mib);
        BOOST_TEST(in_32_bits.entry.rsi == piece(in_32_bits, "zero page").address);
        BOOST_TEST(in_32_bits.entry.linux_selectors);
    }
}

BOOST_AUTO_TEST_CASE(before_2_10_the_payload_goes_to_code32_start_and_four_times_its_size_is_kept_free) {
    LinuxImage kernel(4096);
    kernel.set<std::uint16_t>(0x206, 0x0206).set<std::uint32_t>(0x230, 0x100000);
    const auto plan = plan_of(kernel);
    BOOST_TEST(piece(plan, "vmlinuz").address == mib);
    BOOST_TEST(plan.entry.rip == mib);
    BOOST_TEST(plan.reserved.at(0).size == 3 * 4096u);
}

BOOST_AUTO_TEST_CASE(the_zero_page_has_the_header_and_nothing_else_of_the_file) {
    LinuxImage kernel;
    kernel.set<std::uint32_t>(0x1f2, 0).set<std::uint16_t>(0x1f2, 0x1234).set<std::uint64_t>(0x1e8, ~0ULL);
    kernel.set<std::uint32_t>(0x26c, 0xdeadbeef);  // behind the header
    const auto plan = plan_of(kernel);
    BOOST_TEST(field<std::uint16_t>(plan, 0x1f2) == 0x1234);
    BOOST_TEST(field<std::uint32_t>(plan, 0x202) == 0x53726448u);
    BOOST_TEST(field<std::uint64_t>(plan, 0x258) == 16 * mib);
    BOOST_TEST(field<std::uint32_t>(plan, 0x26c) == 0u);
    BOOST_TEST(field<std::uint8_t>(plan, 0x1ef) == 0u);  // the sentinel
    BOOST_TEST(field<std::uint8_t>(plan, 0x210) == 0xffu);
    BOOST_TEST(field<std::uint8_t>(plan, 0x211) == 0x81u);
    BOOST_TEST(piece(plan, "zero page").size == 4096u);
    // A header that claims more than there is room for does not reach what follows in the zero page.
    kernel.set<std::uint16_t>(0x200, 0xffeb);
    kernel.set<std::uint32_t>(0x290, 0xdeadbeef);
    const auto long_header = plan_of(kernel);
    BOOST_TEST(field<std::uint32_t>(long_header, 0x290) == 0u);
}

BOOST_AUTO_TEST_CASE(the_zero_page_has_the_memory_map_and_the_acpi_tables) {
    const auto plan = plan_of(LinuxImage());
    BOOST_TEST(field<std::uint8_t>(plan, 0x1e8) == 3u);
    BOOST_TEST(field<std::uint64_t>(plan, 0x2d0) == 0u);
    BOOST_TEST(field<std::uint64_t>(plan, 0x2d8) == 0x9fc00u);
    BOOST_TEST(field<std::uint32_t>(plan, 0x2e0) == 1u);
    BOOST_TEST(field<std::uint32_t>(plan, 0x2e4 + 16) == 2u);
    BOOST_TEST(field<std::uint64_t>(plan, 0x2f8) == mib);
    BOOST_TEST(field<std::uint64_t>(plan, 0x300) == 63 * mib);
    BOOST_TEST(field<std::uint64_t>(plan, 0x70) == 0xe0000u);
    BOOST_TEST(piece(plan, "ACPI tables").address == 0xe0000u);
    BOOST_TEST(field<std::uint64_t>(plan_of(LinuxImage().set<std::uint16_t>(0x206, 0x020d)), 0x70) == 0u);
}

BOOST_AUTO_TEST_CASE(a_memory_map_of_more_than_128_ranges_is_cut_with_a_note) {
    auto around = surroundings();
    around.map.pop_back();
    for (std::uint64_t i = 0; i < 129; ++i) around.map.push_back({mib + i * mib, mib, MemoryKind::ram});
    const auto plan = plan_bzimage(request_for(LinuxImage()), around);
    BOOST_TEST(field<std::uint8_t>(plan, 0x1e8) == 128u);
    BOOST_TEST(field<std::uint64_t>(plan, 0x2d0 + 127 * 20) == 126 * mib);
    BOOST_TEST(field<std::uint64_t>(plan, 0x2d0 + 128 * 20) == 0u);
    BOOST_REQUIRE(plan.notes.size() == 1u);
    BOOST_TEST(contains(plan.notes[0], "the first 128 of 131 ranges"));
}

BOOST_AUTO_TEST_CASE(the_command_line_is_as_long_as_the_header_allows) {
    LinuxImage kernel;
    auto request = request_for(kernel.set<std::uint32_t>(0x238, 20));
    request.command_line = "console=ttyS0 0123456789";
    BOOST_TEST(message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request, surroundings())); }) ==
               "the command line has 24 bytes, but vmlinuz takes only 20 (cmdline_size)");
    request.command_line.resize(20);
    const auto plan = plan_bzimage(request, surroundings());
    const auto& line = piece(plan, "command line");
    BOOST_TEST(line.size == 21u);
    BOOST_TEST(std::memcmp(line.bytes.data(), "console=ttyS0 012345", 21) == 0);
    BOOST_TEST(field<std::uint32_t>(plan, 0x228) == line.address);
    BOOST_TEST(line.address < 0xa0000u);
    request.command_line[3] = '\0';
    BOOST_TEST(contains(
        message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request, surroundings())); }), "byte 0"));
}

BOOST_AUTO_TEST_CASE(an_empty_command_line_is_an_empty_text) {
    const auto plan = plan_of(LinuxImage());
    BOOST_TEST(piece(plan, "command line").size == 1u);
    BOOST_TEST(field<std::uint32_t>(plan, 0x228) == piece(plan, "command line").address);
}

BOOST_AUTO_TEST_CASE(the_initrd_is_as_high_as_memory_and_header_allow) {
    LinuxImage kernel;
    auto request = request_for(kernel);
    request.initrd = memory_image("initrd.gz", some_bytes(10'000));
    auto plan = plan_bzimage(request, surroundings());
    BOOST_TEST(piece(plan, "initrd.gz").address == 64 * mib - 0x3000);
    BOOST_TEST(piece(plan, "initrd.gz").size == 10'000u);
    BOOST_TEST(field<std::uint32_t>(plan, 0x218) == 64 * mib - 0x3000);
    BOOST_TEST(field<std::uint32_t>(plan, 0x21c) == 10'000u);
    request.kernel = kernel.set<std::uint32_t>(0x22c, 40 * mib - 1).image();
    plan = plan_bzimage(request, surroundings());
    BOOST_TEST(piece(plan, "initrd.gz").address == 40 * mib - 0x3000);
    BOOST_TEST(field<std::uint32_t>(plan, 0xc0) == 0u);
}

BOOST_AUTO_TEST_CASE(the_initrd_is_never_where_the_kernel_unpacks_itself) {
    // With room enough for the payload, but not behind init_size: below the kernel then.
    LinuxImage kernel;
    auto request = request_for(kernel);
    request.initrd = memory_image("initrd.gz", some_bytes(10'000));
    const auto plan = plan_bzimage(request, surroundings(17 * mib + 0x2000));
    BOOST_TEST(piece(plan, "initrd.gz").address == 16 * mib - 0x3000);
    request.initrd = memory_image("initrd.gz", some_bytes(17 * mib));
    BOOST_TEST(contains(
        message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request, surroundings(20 * mib))); }),
        "there is no room for the initrd initrd.gz, which needs 17825792 bytes"));
}

BOOST_AUTO_TEST_CASE(an_initrd_without_room_below_goes_above_4_gib_if_the_kernel_allows_it) {
    LinuxImage kernel;
    auto around = surroundings(20 * mib);
    around.map.push_back({0x1'0000'0000, 64 * mib, MemoryKind::ram});
    auto request = request_for(kernel);
    request.initrd = memory_image("initrd.gz", some_bytes(17 * mib));
    const auto plan = plan_bzimage(request, around);
    BOOST_TEST(piece(plan, "initrd.gz").address == 0x1'0000'0000 + 47 * mib);
    BOOST_TEST(field<std::uint32_t>(plan, 0x218) == 47 * mib);
    BOOST_TEST(field<std::uint32_t>(plan, 0xc0) == 1u);
    BOOST_TEST(field<std::uint32_t>(plan, 0xc4) == 0u);
    request.initrd = memory_image("initrd.gz", some_bytes(mib));
    BOOST_TEST(piece(plan_bzimage(request, around), "initrd.gz").address == 19 * mib);
    request.initrd = memory_image("initrd.gz", some_bytes(17 * mib));
    request.kernel = kernel.set<std::uint16_t>(0x236, 0x7d).image();
    BOOST_TEST(contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request, around)); }),
                        "there is no room for the initrd"));
}

BOOST_AUTO_TEST_CASE(a_relocatable_kernel_moves_out_of_the_way_by_its_alignment) {
    auto around = surroundings();
    around.tables.push_back({.name = "a table", .address = 16 * mib + 0x80000, .size = 16});
    const auto plan = plan_bzimage(request_for(LinuxImage()), around);
    BOOST_TEST(piece(plan, "vmlinuz").address == 18 * mib);
    BOOST_TEST(plan.entry.rip == 18 * mib + 0x200);
    const auto error = error_of(LinuxImage().set<std::uint8_t>(0x234, 0), around);
    BOOST_TEST(contains(error, "vmlinuz needs 1048576 bytes of RAM from 0x1000000 on"), error);
    BOOST_TEST(contains(error, "where a table is; it is not relocatable"), error);
}

BOOST_AUTO_TEST_CASE(a_kernel_that_does_not_fit_is_refused_with_the_sizes) {
    const auto error = error_of(LinuxImage().set<std::uint32_t>(0x260, 51 * mib + mib / 2), surroundings(64 * mib));
    BOOST_TEST(contains(error, "vmlinuz needs 54001664 bytes of RAM from 0x1000000 on (pref_address; init_size is 54001664"),
               error);
    BOOST_TEST(contains(error, "--memory 68M is enough"), error);
    BOOST_TEST(error_of(LinuxImage().set<std::uint32_t>(0x260, 48 * mib), surroundings(64 * mib)) == "nothing was thrown");
    BOOST_TEST(contains(error_of(LinuxImage().set<std::uint32_t>(0x260, 48 * mib + 1)), "--memory 65M is enough"));
}

BOOST_AUTO_TEST_CASE(nothing_lies_in_anything_else) {
    auto request = request_for(LinuxImage(3 * mib));
    request.initrd = memory_image("initrd.gz", some_bytes(mib));
    request.command_line = std::string(2000, 'x');
    const auto plan = plan_bzimage(request, surroundings());
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const auto& each : plan.pieces) ranges.emplace_back(each.address, each.address + each.size);
    for (const auto& each : plan.reserved) ranges.emplace_back(each.address, each.address + each.size);
    std::ranges::sort(ranges);
    for (std::size_t i = 1; i < ranges.size(); ++i) BOOST_TEST(ranges[i - 1].second <= ranges[i].first);
}

BOOST_AUTO_TEST_CASE(files_that_need_real_mode_are_refused_with_the_reason) {
    // memdisk, ipxe.lkrn, a zImage.
    const auto memdisk = error_of(LinuxImage().set<std::uint16_t>(0x206, 0x0203).set<std::uint16_t>(0x200, 0x3eeb));
    BOOST_TEST(contains(memdisk, "protocol 2.03"), memdisk);
    BOOST_TEST(contains(memdisk, "it needs real mode and a BIOS"), memdisk);
    const auto ipxe =
        error_of(LinuxImage().set<std::uint16_t>(0x206, 0x0207).set<std::uint32_t>(0x214, 0).set<std::uint32_t>(0x230, 0));
    BOOST_TEST(contains(ipxe, "its code32_start is 0x0, below 1 MiB: it needs real mode and a BIOS"), ipxe);
    BOOST_TEST(contains(error_of(LinuxImage().set<std::uint8_t>(0x211, 0)), "bit 0 of loadflags is clear (a zImage)"));
    BOOST_TEST(contains(error_of(LinuxImage().set<std::uint32_t>(0x230, 0)), "its kernel_alignment is 0x0"));
    BOOST_TEST(contains(error_of(LinuxImage().set<std::uint32_t>(0x230, 0x300000)), "its kernel_alignment is 0x300000"));
}

BOOST_AUTO_TEST_CASE(fields_behind_the_end_of_the_header_are_not_read) {
    // Protocol 2.06 with a header that ends in front of cmdline_size: what is there is code.
    auto kernel = LinuxImage().set<std::uint16_t>(0x206, 0x0206).set<std::uint16_t>(0x200, 0x36eb);
    auto request = request_for(kernel);
    request.command_line = "x";
    BOOST_TEST(
        contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request, surroundings())); }),
                 "takes only 0"));
    BOOST_TEST(contains(error_of(LinuxImage().set<std::uint16_t>(0x200, 0x61eb)),
                        "a setup header that ends at 0x263, but one of protocol 2.15 goes to 0x264"));
}

BOOST_AUTO_TEST_CASE(damaged_files_are_refused_by_the_field) {
    LinuxImage kernel(4096);
    kernel.bytes().resize(LinuxImage::payload_at + 4000);
    BOOST_TEST(contains(error_of(kernel), "is truncated: syssize is 0x100, so the kernel has 4096 bytes from 0x800 on"));
    kernel.bytes().resize(0x210);
    BOOST_TEST(contains(error_of(kernel), "it ends after 528 bytes, in the Linux setup header"));
    BOOST_TEST(contains(error_of(LinuxImage(0x200)), "xloadflags 0x7f, a 64-bit entry at 0x200, but only 512 bytes"));
    BOOST_TEST(contains(error_of(LinuxImage().set<std::uint64_t>(0x258, 0x1'0000'0000)), "pref_address 0x100000000"));
}

BOOST_AUTO_TEST_CASE(linux_takes_no_modules) {
    auto request = request_for(LinuxImage());
    request.modules.push_back({memory_image("module", some_bytes(1)), ""});
    BOOST_TEST(
        contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_bzimage(request, surroundings())); }),
                 "takes no modules at boot (use --initrd)"));
}

BOOST_AUTO_TEST_CASE(the_version_is_text_or_not_there) {
    BOOST_TEST(plan_of(LinuxImage().set<std::uint16_t>(0x20e, 0)).description ==
               "Linux kernel, bzImage, boot protocol 2.15");
    LinuxImage memtest;
    std::memcpy(memtest.bytes().data() + 0x500, "Memtest86+ v6.10", 17);
    BOOST_TEST(plan_of(memtest).description == "Memtest86+ v6.10, bzImage, boot protocol 2.15");
    LinuxImage rubbish;
    rubbish.set<std::uint8_t>(0x502, 0x07);
    BOOST_TEST(plan_of(rubbish).description == "Linux kernel, bzImage, boot protocol 2.15");
    BOOST_TEST(plan_of(LinuxImage().set<std::uint16_t>(0x20e, 0xffff)).description ==
               "Linux kernel, bzImage, boot protocol 2.15");
}

BOOST_AUTO_TEST_CASE(a_damaged_header_is_refused_or_makes_a_right_plan) {
    const auto sample = LinuxImage(2048).bytes();
    const auto around = surroundings();
    std::mt19937_64 random(20261128);
    unsigned plans = 0;
    unsigned refused = 0;
    for (unsigned round = 0; round < 6000; ++round) {
        // Each third is only cut. Of its own size on the heap, so that a sanitizer sees the end.
        const std::size_t size = round % 3 == 0 ? 1 + random() % sample.size() : sample.size();
        const auto block = std::make_unique<std::byte[]>(size);
        std::copy_n(sample.begin(), size, block.get());
        for (unsigned count = round % 3; count != 0; --count) {
            constexpr std::uint64_t special[] = {0, 1, 0x7fff'ffff, 0x8000'0000, 0xffff'ffff, 0x100000, 4096, ~0ULL};
            const std::size_t at = 0x1f1 + random() % 0x80;
            const std::uint64_t value = random() % 2 == 0 ? random() : special[random() % std::size(special)];
            std::memcpy(block.get() + at, &value, std::size_t{1} << (random() % 4));
        }
        Request request;
        request.kernel = borrowed_image("vmlinuz", {block.get(), size});
        request.initrd = memory_image("initrd.gz", some_bytes(5000));
        request.command_line = "quiet";
        try {
            const Plan plan = plan_bzimage(request, around);
            check_places(plan, around);
            BOOST_TEST(plan.entry.rip < 0x1'0000'0000u);
            ++plans;
        } catch (const Error& error) {
            BOOST_TEST((error.kind() == ErrorKind::guest_image), error.what());
            ++refused;
        }
    }
    BOOST_TEST(plans > 500u);
    BOOST_TEST(refused > 500u);
}
