// Pages that hold something are told from those that nobody has touched.
#include <vmcore/layout.hpp>
#include <vmcore/present_pages.hpp>

#include <asyncvm/guest_memory.hpp>

#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <vector>

using namespace asyncvm;
using vmcore::PresentPages;

namespace {

constexpr std::uint64_t page = vmcore::page_size;
constexpr std::uint64_t memory_size = 16 << 20;

/// The pages of the extents, of those from `first` on.
std::vector<std::uint64_t> pages(const std::vector<PresentPages::Extent>& extents) {
    std::vector<std::uint64_t> all;
    for (const auto& extent : extents) {
        for (std::uint64_t at = extent.offset; at < extent.offset + extent.size; at += page) all.push_back(at / page);
    }
    return all;
}

void check(bool shared) {
    GuestMemory memory(memory_size, {.shared = shared});
    const std::array<std::byte, 2> two{std::byte{1}, std::byte{2}};
    memory.write(3 * page, std::span(two).first(1));
    memory.write(1001 * page - 1, two);
    const auto& region = memory.regions().front();
    const PresentPages present;
    const std::vector<std::uint64_t> expected{3, 1000, 1001};
    BOOST_TEST(pages(present.in(region, 0, memory_size)) == expected, boost::test_tools::per_element());
    const std::vector<std::uint64_t> in_the_middle{1000};
    BOOST_TEST(pages(present.in(region, 4 * page, 997 * page)) == in_the_middle, boost::test_tools::per_element());
    BOOST_TEST(present.in(region, 1002 * page, page).empty());
    BOOST_TEST(present.in(region, memory_size / 2, page).empty());
    // Looking has touched nothing.
    BOOST_TEST(pages(present.in(region, 0, memory_size)) == expected, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(present_pages)

BOOST_AUTO_TEST_CASE(of_memory_of_this_process) { check(false); }

BOOST_AUTO_TEST_CASE(of_memory_that_others_share) { check(true); }

BOOST_AUTO_TEST_SUITE_END()
