#include "boot/bios_stub.hpp"
#include "boot/formats.hpp"
#include "linux_image.hpp"
#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::contains;
using asyncvm::test::message_of;
using asyncvm::test::surroundings;

namespace {

Request request_of(std::size_t size, bool signature = true) {
    std::vector<std::byte> bytes(size, std::byte{0x90});
    if (signature && size >= 512) bytes[510] = std::byte{0x55}, bytes[511] = std::byte{0xaa};
    Request request;
    request.kernel = memory_image("disk.img", std::move(bytes));
    return request;
}

const Piece& piece_at(const Plan& plan, std::uint64_t address) {
    const auto found = std::ranges::find(plan.pieces, address, &Piece::address);
    BOOST_REQUIRE_MESSAGE(found != plan.pieces.end(), "there is nothing at " << address);
    return *found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_first_sector_is_where_a_bios_loads_it) {
    const auto plan = plan_boot_sector(request_of(4096), surroundings());
    BOOST_TEST(piece_at(plan, 0x7c00).size == 512u);
    BOOST_TEST(piece_at(plan, 0x7c00).file_size == 512u);
    BOOST_TEST((plan.entry.mode == Mode::real16));
    BOOST_TEST(plan.entry.rip == 0x7c00u);
    BOOST_TEST(plan.entry.rdx == 0u);
    BOOST_TEST(plan.entry.rsp.value() == 0x7c00u);
    BOOST_TEST(plan.notes.empty());
    BOOST_TEST(plan_boot_sector(request_of(4 << 20), surroundings()).entry.rdx == 0x80u);
    BOOST_TEST(boot_drive(2880 << 10) == 0);
    BOOST_TEST(boot_drive((2880 << 10) + 1) == 0x80);
}

BOOST_AUTO_TEST_CASE(a_disk_of_its_own_is_the_drive_and_the_sector_still_comes_from_the_file) {
    auto request = request_of(512);
    request.disk = memory_image("hard-disk.img", std::vector<std::byte>(4 << 20));
    const auto plan = plan_boot_sector(request, surroundings());
    BOOST_TEST(plan.entry.rdx == 0x80u);
    BOOST_TEST(piece_at(plan, 0x7c00).image.get() == request.kernel.get());
    BOOST_TEST(std::ranges::count(plan.facts, "disk: hard-disk.img") == 1);
}

BOOST_AUTO_TEST_CASE(vectors_of_services_lead_to_code_and_those_of_exceptions_to_nothing) {
    const auto plan = plan_boot_sector(request_of(512), surroundings());
    const auto& vectors = piece_at(plan, 0).bytes;
    BOOST_TEST(vectors.size() == 1024u);
    const auto vector = [&vectors](unsigned number) {
        std::uint32_t value = 0;
        std::memcpy(&value, vectors.data() + 4 * number, sizeof value);
        return value;
    };
    BOOST_TEST(vector(0x06) == 0u);
    BOOST_TEST(vector(0x21) == 0u);
    BOOST_TEST(vector(0x1e) == 0xff000180u);
    const auto& code = piece_at(plan, bios_code).bytes;
    for (const unsigned service : {0x10, 0x11, 0x12, 0x13, 0x15, 0x16, 0x19, 0x1a}) {
        BOOST_TEST((vector(service) >> 16) == 0xff00u);
        const auto offset = vector(service) & 0xffff;
        BOOST_TEST(std::to_integer<unsigned>(code.at(offset)) == 0x6au);  // push its number
        BOOST_TEST(std::to_integer<unsigned>(code.at(offset + 1)) == service);
    }
}

BOOST_AUTO_TEST_CASE(a_sector_without_its_signature_gets_a_note) {
    for (const auto& request : {request_of(512, false), request_of(100)}) {
        const auto plan = plan_boot_sector(request, surroundings());
        BOOST_REQUIRE(plan.notes.size() == 1u);
        BOOST_TEST(contains(plan.notes[0], "disk.img does not end its first 512 bytes with 0x55 0xaa"));
    }
    BOOST_TEST(piece_at(plan_boot_sector(request_of(100), surroundings()), 0x7c00).file_size == 100u);
}

BOOST_AUTO_TEST_CASE(the_bios_data_area_is_the_boards_or_its_own) {
    auto around = surroundings();
    const auto own = plan_boot_sector(request_of(512), around);
    std::uint16_t kib = 0;
    std::memcpy(&kib, piece_at(own, 0x400).bytes.data() + 0x13, sizeof kib);
    BOOST_TEST(kib == 639);
    around.tables.push_back({.name = "BIOS data", .address = 0x400, .size = 16, .bytes = {}});
    const auto boards = plan_boot_sector(request_of(512), around);
    BOOST_TEST(std::ranges::count(boards.pieces, 0x400u, &Piece::address) == 1);
    BOOST_TEST(piece_at(boards, 0x400).name == "BIOS data");
}

BOOST_AUTO_TEST_CASE(a_boot_sector_needs_1_mib) {
    Surroundings small;
    small.map = {{0, 0x80000, MemoryKind::ram}};
    BOOST_TEST(
        contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_boot_sector(request_of(512), small)); }),
                 "needs 1 MiB of memory (raise --memory)"));
}
