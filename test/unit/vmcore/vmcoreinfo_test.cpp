// Linux's note for readers of dumps, found in memory.
#include <vmcore/vmcoreinfo.hpp>

#include <elf.h>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::vmcore;

namespace {

std::vector<std::byte> note(std::string_view text, std::uint32_t said_size, std::string_view owner = "VMCOREINFO") {
    const Elf64_Nhdr header{.n_namesz = 11, .n_descsz = said_size, .n_type = 0};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += owner;
    bytes.resize(sizeof header + 12);
    bytes += text;
    bytes.resize((bytes.size() + 3) / 4 * 4);
    const auto view = std::as_bytes(std::span(bytes));
    return {view.begin(), view.end()};
}

std::vector<std::byte> note(std::string_view text) { return note(text, static_cast<std::uint32_t>(text.size())); }

}  // namespace

BOOST_AUTO_TEST_SUITE(vmcoreinfo)

BOOST_AUTO_TEST_CASE(the_note_is_found_whole) {
    GuestMemory memory(1 << 20);
    const auto put = note("OSRELEASE=6.1.0\nKERNELOFFSET=1f000000\n");
    // Over the end of a page, too.
    for (const std::uint64_t address : {0x3000u, 0x8fe0u}) {
        memory.write(address, put);
        BOOST_TEST((vmcoreinfo_at(memory, address) == put));
    }
    BOOST_TEST(vmcoreinfo_at(memory, 0x4000).empty());
}

BOOST_AUTO_TEST_CASE(what_is_none_is_not_taken) {
    GuestMemory memory(1 << 20);
    const auto refused = [&](std::uint64_t address, const std::vector<std::byte>& bytes) {
        memory.write(address, bytes);
        return vmcoreinfo_at(memory, address).empty();
    };
    BOOST_TEST(refused(0x1000, note("OSRELEASE=6", 4097)));
    BOOST_TEST(refused(0x1000, note("OSRELEASE=6", 0)));
    BOOST_TEST(refused(0x1000, note("OSRELEAS", 8)));
    BOOST_TEST(refused(0x1000, note("OSRELEASE=6", 11, "VMCOREINFX")));
    // Behind the end of the memory.
    BOOST_TEST(refused((1 << 20) - 32, note("OSRELEASE=6", 11)));
    BOOST_TEST(vmcoreinfo_at(memory, 1 << 20).empty());
}

BOOST_AUTO_TEST_CASE(whatever_the_guest_has_there) {
    std::mt19937 random(7);
    GuestMemory memory(1 << 16);
    const auto good = note("OSRELEASE=6.1.0\n");
    for (int round = 0; round < 20'000; ++round) {
        auto bytes = good;
        for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        const std::uint64_t address = random() % (1 << 16);
        memory.write(address, bytes);
        BOOST_TEST_REQUIRE(vmcoreinfo_at(memory, address).size() <= 24u + 4096u);
    }
}

BOOST_AUTO_TEST_SUITE_END()
