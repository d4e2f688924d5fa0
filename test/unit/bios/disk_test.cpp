#include "bios/disk.hpp"
#include "call.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <span>
#include <vector>

using namespace asyncvm;
using asyncvm::bios::Disk;
using asyncvm::boot::BiosFrame;
using asyncvm::test::Call;
using asyncvm::test::carry;
using asyncvm::test::status;

namespace {

constexpr std::uint64_t kib = 1 << 10;
constexpr std::uint64_t mib = 1 << 20;

/// Each sector begins with its number.
boot::ImagePtr disk_of(std::uint64_t size) {
    std::vector<std::byte> bytes(size);
    for (std::uint32_t sector = 0; (sector + 1) * 512ULL <= size; ++sector) {
        std::memcpy(bytes.data() + sector * 512ULL, &sector, sizeof sector);
    }
    return boot::memory_image("disk", std::move(bytes));
}

struct Floppy {
    BiosFrame call(const Call& call) {
        auto frame = call.frame();
        disk.call(frame, memory);
        return frame;
    }
    [[nodiscard]] std::uint32_t sector_at(std::uint64_t address) const {
        return memory.load_acquire<std::uint32_t>(address).value();
    }

    GuestMemory memory{2 * mib};
    Disk disk{disk_of(1440 * kib)};
};

struct HardDisk : Floppy {
    HardDisk() { disk = Disk(disk_of(8 * mib)); }

    void packet(std::uint16_t count, std::uint64_t first, std::uint8_t size = 16) {
        std::array<std::byte, 16> bytes{std::byte{size}};
        const std::array<std::uint16_t, 3> place{count, 0x4000, 0x1000};  // 1000:4000
        std::memcpy(bytes.data() + 2, place.data(), 6);
        std::memcpy(bytes.data() + 8, &first, 8);
        memory.write(0x600, bytes);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(sectors_are_read_by_cylinder_head_and_sector, Floppy) {
    const auto frame = call({.eax = 0x0202, .ebx = 0x8000, .ecx = 0x0312, .edx = 0x0100});
    BOOST_TEST(!carry(frame));
    BOOST_TEST(frame.eax == 0x0002u);
    BOOST_TEST(sector_at(0x8000) == (3u * 2 + 1) * 18 + 17);
    BOOST_TEST(sector_at(0x8200) == (3u * 2 + 1) * 18 + 18);
}

BOOST_FIXTURE_TEST_CASE(sectors_outside_of_the_disk_are_not_found, Floppy) {
    for (const Call& wrong :
         {Call{.eax = 0x0201, .ecx = 0x0000}, Call{.eax = 0x0201, .ecx = 0x0013}, Call{.eax = 0x0201, .ecx = 0x5001},
          Call{.eax = 0x0201, .ecx = 0x0001, .edx = 0x0200}, Call{.eax = 0x0202, .ecx = 0x4f12, .edx = 0x0100}}) {
        const auto frame = call(wrong);
        BOOST_TEST(carry(frame));
        BOOST_TEST(frame.eax == 0x0400u);
    }
    BOOST_TEST(status(call({.eax = 0x0200, .ecx = 1})) == 1u);
    BOOST_TEST(status(call({.eax = 0x0281, .ecx = 1})) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_short_floppy_has_zeros_behind_the_files_end, Floppy) {
    disk = Disk(disk_of(1000));
    memory.store_release<std::uint32_t>(0x8200, 7);
    memory.store_release<std::uint32_t>(0x83e8, 7);
    const auto frame = call({.eax = 0x0203, .ebx = 0x8000, .ecx = 0x0001});
    BOOST_TEST(!carry(frame));
    BOOST_TEST(sector_at(0x8200) == 0u);
    BOOST_TEST(sector_at(0x83e8) == 0u);
    BOOST_TEST(disk.geometry().cylinders == 80u);
    BOOST_TEST(disk.geometry().sectors == 18u);
}

BOOST_FIXTURE_TEST_CASE(geometries_are_those_of_the_usual_disks, Floppy) {
    BOOST_TEST(Disk(disk_of(360 * kib)).geometry().cylinders == 40u);
    BOOST_TEST(Disk(disk_of(720 * kib)).geometry().sectors == 9u);
    BOOST_TEST(Disk(disk_of(1200 * kib)).geometry().sectors == 15u);
    BOOST_TEST(Disk(disk_of(2880 * kib)).geometry().sectors == 36u);
    BOOST_TEST(Disk(disk_of(2880 * kib + 512)).geometry().heads == 16u);
    const auto frame = call({.eax = 0x0800});
    BOOST_TEST(frame.ecx == 0x4f12u);
    BOOST_TEST(frame.edx == 0x0101u);
    BOOST_TEST(frame.ebx == 4u);
    BOOST_TEST(frame.es == 0xff00u);
    BOOST_TEST(frame.edi == 0x180u);
    BOOST_TEST(!carry(frame));
    BOOST_TEST(status(call({.eax = 0x1500})) == 1u);
}

BOOST_FIXTURE_TEST_CASE(what_a_drive_can_not_do_is_refused, Floppy) {
    BOOST_TEST(!carry(call({.eax = 0x0000})));
    BOOST_TEST(status(call({.eax = 0x0301, .ecx = 1})) == 3u);  // write protected
    BOOST_TEST(carry(call({.eax = 0x0301, .ecx = 1})));
    BOOST_TEST(carry(call({.eax = 0x4100, .ebx = 0x55aa})));  // no extensions on a floppy
    BOOST_TEST(carry(call({.eax = 0x7700})));
    BOOST_TEST(carry(call({.eax = 0x0201, .ecx = 1, .edx = 0x80})));  // no such drive
    BOOST_TEST(call({.eax = 0x1500, .edx = 0x80}).eax == 0u);
    disk = Disk(nullptr);
    BOOST_TEST(carry(call({.eax = 0x0000})));
}

BOOST_FIXTURE_TEST_CASE(memory_that_is_not_there_is_an_error, Floppy) {
    GuestMemory small(0x10000);
    auto frame = Call{.eax = 0x0201, .ebx = 0xff00, .ecx = 1}.frame();
    disk.call(frame, small);
    BOOST_TEST(status(frame) == 9u);
    BOOST_TEST(carry(frame));
}

BOOST_FIXTURE_TEST_CASE(a_hard_disk_is_read_by_packets, HardDisk) {
    const auto extensions = call({.eax = 0x4100, .ebx = 0x55aa, .edx = 0x80});
    BOOST_TEST(!carry(extensions));
    BOOST_TEST(extensions.ebx == 0xaa55u);
    BOOST_TEST(extensions.ecx == 1u);
    packet(2, 12345);
    const Call read{.eax = 0x4200, .edx = 0x80, .esi = 0x100, .ds = 0x50};
    BOOST_TEST(!carry(call(read)));
    BOOST_TEST(sector_at(0x14000) == 12345u);
    BOOST_TEST(sector_at(0x14200) == 12346u);
    packet(1, ~std::uint64_t{0});
    BOOST_TEST(status(call(read)) == 4u);
    packet(2, 17135);  // the geometry has 17,136 sectors, the file 16,384
    BOOST_TEST(status(call(read)) == 4u);
    packet(1, 17135);
    BOOST_TEST(!carry(call(read)));
    BOOST_TEST(sector_at(0x14000) == 0u);
    packet(129, 0);
    BOOST_TEST(status(call(read)) == 1u);
    packet(1, 0, 8);
    BOOST_TEST(status(call(read)) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_hard_disk_tells_its_size, HardDisk) {
    const auto kind = call({.eax = 0x1500, .edx = 0x80});
    BOOST_TEST(status(kind) == 3u);
    BOOST_TEST((kind.ecx << 16) == 0u);
    BOOST_TEST(kind.edx == 17136u);
    memory.store_release<std::uint16_t>(0x600, 30);
    BOOST_TEST(!carry(call({.eax = 0x4800, .edx = 0x80, .esi = 0x600})));
    BOOST_TEST(memory.load_acquire<std::uint16_t>(0x600).value() == 26u);
    BOOST_TEST(sector_at(0x604) == 17u);
    BOOST_TEST(sector_at(0x608) == 16u);
    BOOST_TEST(sector_at(0x60c) == 63u);
    BOOST_TEST(sector_at(0x610) == 17136u);
    BOOST_TEST(memory.load_acquire<std::uint16_t>(0x618).value() == 512u);
    memory.store_release<std::uint16_t>(0x600, 25);
    BOOST_TEST(carry(call({.eax = 0x4800, .edx = 0x80, .esi = 0x600})));
    BOOST_TEST(call({.eax = 0x0800, .edx = 0x80}).ecx == 0x103fu);
}
