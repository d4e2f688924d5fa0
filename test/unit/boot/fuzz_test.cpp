// Each parser of kernels with damaged files: it refuses them or makes a plan that can be applied, and never reads outside.
#include "boot/formats.hpp"
#include "linux_image.hpp"
#include "multiboot_image.hpp"
#include "plans.hpp"
#include "throws.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <memory>
#include <random>

using namespace asyncvm;
using namespace asyncvm::boot;
using namespace asyncvm::test;

namespace {

namespace data = boost::unit_test::data;

struct Sample {
    std::string name;
    BootFormat format;
    std::vector<std::byte> bytes;
};

std::vector<std::byte> kernel_of(bool is_64, const std::vector<std::byte>& header) {
    auto code = code_segment();
    code.bytes = header;
    code.bytes.resize(std::max<std::size_t>(code.bytes.size(), 64));
    std::vector<std::byte> entry;
    put(entry, 0, std::uint32_t{0x100020});
    ElfImage elf(
        is_64,
        {code, {.physical = 0x200000, .memory_size = 0x5001, .flags = 6}, {.type = 4, .bytes = note("Xen", 18, entry)}});
    add_sections(elf, is_64, {{2, 0, bytes_of("symbols")}, {3, 0, bytes_of("strings")}});
    return elf.bytes();
}

std::vector<std::byte> flat_of(std::size_t offset, const std::vector<std::byte>& header) {
    std::vector<std::byte> bytes(256);
    put_bytes(bytes, offset, header);
    return bytes;
}

std::vector<Sample> samples() {
    const auto tags = header_2({{1, 1, {6, 15}}, {10, 0, {0x100000, 0x3ffffff, 0x1000, 1}}, {6, 0, {}}});
    const auto places = header_2({{2, 0, {0x300020, 0x300000, 0, 0x304000}}, {3, 0, {0x300100}}});
    return {{"ELF32", BootFormat::elf, kernel_of(false, {})},
            {"ELF64", BootFormat::elf, kernel_of(true, {})},
            {"PVH32", BootFormat::pvh, kernel_of(false, {})},
            {"PVH64", BootFormat::pvh, kernel_of(true, {})},
            {"Multiboot32", BootFormat::multiboot, kernel_of(false, header_1(3))},
            {"Multiboot64", BootFormat::multiboot, kernel_of(true, header_1(3))},
            {"Multiboot flat", BootFormat::multiboot,
             flat_of(0x20, header_1(0x10003, {0x300020, 0x300000, 0, 0x304000, 0x300020}))},
            {"Multiboot2 32", BootFormat::multiboot2, kernel_of(false, tags)},
            {"Multiboot2 64", BootFormat::multiboot2, kernel_of(true, tags)},
            {"Multiboot2 flat", BootFormat::multiboot2, flat_of(0x20, places)}};
}

std::ostream& operator<<(std::ostream& out, const Sample& sample) { return out << sample.name; }

/// Whether a plan came out. The bytes are in a block of just their size, so that a sanitizer sees what is read behind them.
bool survives(BootFormat format, std::span<const std::byte> bytes, const Surroundings& around) {
    const auto block = std::make_unique<std::byte[]>(bytes.size());
    std::ranges::copy(bytes, block.get());
    Request request;
    request.kernel = borrowed_image("damaged", {block.get(), bytes.size()});
    if (format != BootFormat::elf) {
        request.command_line = "one two";
        request.modules.push_back({memory_image("module", std::vector<std::byte>(5000)), "arguments"});
    }
    try {
        static_cast<void>(detect(*request.kernel));
        const Plan plan = plan_guest(format, request, around);
        check_places(plan, around);
        BOOST_TEST(plan.entry.rip < 0x1'0000'0000u);
        return true;
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == ErrorKind::guest_image), error.what());
        BOOST_TEST(std::string_view(error.what()).size() > 10u);
        return false;
    }
}

/// A checksum that is right again, so that damage behind it is reached.
void mend(std::vector<std::byte>& bytes) {
    for (std::size_t at = 0; at + 16 <= bytes.size(); at += 4) {
        std::array<std::uint32_t, 3> words{};
        std::memcpy(words.data(), bytes.data() + at, sizeof words);
        if (words[0] == 0x1badb002) put(bytes, at + 8, 0U - words[0] - words[1]);
        if (words[0] == 0xe85250d6) put(bytes, at + 12, 0U - words[0] - words[1] - words[2]);
    }
}

}  // namespace

BOOST_DATA_TEST_CASE(an_undamaged_sample_makes_a_plan, data::make(samples()), sample) {
    BOOST_TEST(survives(sample.format, sample.bytes, surroundings()));
}

BOOST_DATA_TEST_CASE(a_file_that_is_cut_anywhere_is_refused_or_makes_a_right_plan, data::make(samples()), sample) {
    const auto around = surroundings();
    for (std::size_t size = 1; size < sample.bytes.size(); ++size) {
        survives(sample.format, std::span(sample.bytes).first(size), around);
    }
}

BOOST_DATA_TEST_CASE(a_damaged_file_is_refused_or_makes_a_right_plan, data::make(samples()), sample) {
    constexpr std::array<std::uint64_t, 8> special{0, 1, 0x7fff'ffff, 0x8000'0000, 0xffff'ffff, 0x100000, 4096, ~0ULL};
    const auto around = surroundings();
    std::mt19937_64 random(20261128);
    unsigned plans = 0;
    unsigned refused = 0;
    for (unsigned round = 0; round < 2000; ++round) {
        auto bytes = sample.bytes;
        for (unsigned count = 1 + static_cast<unsigned>(random() % 3); count != 0; --count) {
            const std::size_t at = random() % bytes.size();
            const std::uint64_t value = random() % 2 == 0 ? random() : special[random() % special.size()];
            const std::size_t size = std::min<std::size_t>(std::size_t{1} << (random() % 4), bytes.size() - at);
            std::memcpy(bytes.data() + at, &value, size);
        }
        if (random() % 2 == 0) mend(bytes);
        ++(survives(sample.format, bytes, around) ? plans : refused);
    }
    // Damage that is all refused, or never, would test one half only.
    BOOST_TEST(plans > 100u);
    BOOST_TEST(refused > 100u);
}
