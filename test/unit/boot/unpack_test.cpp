#include "boot/unpack.hpp"
#include "boot/decoder.hpp"
#include "packed_bytes.hpp"
#include "throws.hpp"

#include <asyncvm/boot.hpp>

#include <fmt/format.h>
#include <boost/test/unit_test.hpp>

#include <dlfcn.h>

#include <array>
#include <random>
#include <span>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

using Bytes = std::vector<std::byte>;

struct Sample {
    Packing packing;
    Bytes bytes;
    const char* library;
};

Bytes bytes_of(std::span<const unsigned char> from) {
    const auto bytes = std::as_bytes(from);
    return {bytes.begin(), bytes.end()};
}

/// Of the kinds that this build can unpack.
std::vector<Sample> samples() {
    std::vector<Sample> all{{Packing::gzip, bytes_of(test::gzip_bytes), "libz.so.1"},
                            {Packing::xz, bytes_of(test::xz_bytes), "liblzma.so.5"},
                            {Packing::zstd, bytes_of(test::zstd_bytes), "libzstd.so.1"}};
    std::erase_if(all, [](const Sample& sample) { return make_decoder(sample.packing) == nullptr; });
    return all;
}

std::string content() {
    std::string text;
    for (int i = 0; i < 100; ++i) text += fmt::format("kernel {:04} ", i);
    return text;
}

std::string text_in(const Image& image) {
    const auto bytes = image.view(0, image.size());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string error_of(const Bytes& bytes, std::uint64_t most = 1 << 20) {
    return message_of(ErrorKind::guest_image,
                      [&] { static_cast<void>(unpack(memory_image("kernel.packed", bytes), most)); });
}

Bytes together(const Bytes& first, std::size_t zeros, const Bytes& second) {
    Bytes all = first;
    all.resize(all.size() + zeros);
    all.insert(all.end(), second.begin(), second.end());
    return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_libraries_are_loaded_for_a_guest_that_needs_them_and_not_before) {
    // The first test of the file: it finds a process in which nothing was unpacked.
    for (const char* library : {"liblzma.so.5", "libzstd.so.1"}) {
        BOOST_TEST(::dlopen(library, RTLD_LAZY | RTLD_NOLOAD) == nullptr, library);
    }
    for (const auto& sample : samples()) {
        static_cast<void>(unpack(memory_image("kernel", sample.bytes), 1 << 20));
        BOOST_TEST(::dlopen(sample.library, RTLD_LAZY | RTLD_NOLOAD) != nullptr, sample.library);
    }
}

BOOST_AUTO_TEST_CASE(what_is_packed_is_unpacked) {
    for (const auto& sample : samples()) {
        const auto unpacked = unpack(memory_image("kernel", sample.bytes), 1 << 20);
        BOOST_TEST(text_in(*unpacked.image) == content());
        BOOST_TEST(unpacked.image->name() == "kernel");
        BOOST_TEST(unpacked.packing == fmt::format("{}, {} bytes", boot::name_of(sample.packing), sample.bytes.size()));
    }
}

BOOST_AUTO_TEST_CASE(what_is_not_packed_stays_the_same_image) {
    const auto image = memory_image("kernel", Bytes(100));
    const auto same = unpack(image, 1 << 20);
    BOOST_TEST(same.image == image);
    BOOST_TEST(same.packing.empty());
    BOOST_TEST((packing_of({}) == Packing::none));
    const std::array<unsigned char, 3> compress{0x1f, 0x9d, 0x90};
    BOOST_TEST((packing_of(std::as_bytes(std::span(compress))) == Packing::none));
}

BOOST_AUTO_TEST_CASE(several_streams_are_one_file_and_zeros_are_padding) {
    for (const auto& sample : samples()) {
        const auto twice = unpack(memory_image("kernel", together(sample.bytes, 0, sample.bytes)), 1 << 20);
        BOOST_TEST(text_in(*twice.image) == content() + content());
        const auto padded = unpack(memory_image("kernel", together(sample.bytes, 512, sample.bytes)), 1 << 20);
        BOOST_TEST(text_in(*padded.image) == content() + content());
        BOOST_TEST(text_in(*unpack(memory_image("kernel", together(sample.bytes, 7, {})), 1 << 20).image) == content());
    }
}

BOOST_AUTO_TEST_CASE(something_behind_the_last_stream_is_refused) {
    for (const auto& sample : samples()) {
        const auto error = error_of(together(sample.bytes, 4, Bytes(5, std::byte{'x'})));
        BOOST_TEST(contains(error, fmt::format("is packed with {}, but its last 5 bytes are neither zeros nor packed",
                                               boot::name_of(sample.packing))),
                   error);
    }
}

BOOST_AUTO_TEST_CASE(the_result_is_bounded_by_the_memory) {
    for (const auto& sample : samples()) {
        const auto size = content().size();
        BOOST_TEST(error_of(sample.bytes, size) == "nothing was thrown");
        BOOST_TEST(error_of(sample.bytes, size - 1) ==
                   fmt::format("kernel.packed is packed with {} and has more than {} bytes unpacked, but the guest's memory "
                               "has only {} (raise --memory)",
                               boot::name_of(sample.packing), size - 1, size - 1));
        BOOST_TEST(contains(error_of(together(sample.bytes, 0, sample.bytes), size), "has more than 1200 bytes unpacked"));
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_ends_too_early_is_truncated_wherever_it_ends) {
    for (const auto& sample : samples()) {
        for (std::size_t size = 6; size < sample.bytes.size(); ++size) {
            const auto error = error_of(Bytes(sample.bytes.begin(), sample.bytes.begin() + static_cast<long>(size)));
            BOOST_REQUIRE_MESSAGE(contains(error, fmt::format("truncated: it ends after {} bytes", size)), error);
        }
    }
}

BOOST_AUTO_TEST_CASE(damage_gives_an_error_and_never_another_kernel) {
    std::mt19937 random(7);
    for (const auto& sample : samples()) {
        unsigned damaged = 0;
        for (int i = 0; i < 2000; ++i) {
            // Of its own size on the heap, so that a sanitizer sees the end.
            Bytes bytes = sample.bytes;
            bytes[6 + random() % (bytes.size() - 6)] ^= static_cast<std::byte>(1 + random() % 255);
            const auto image = memory_image("kernel.packed", std::move(bytes));
            try {
                // gzip's time stamp and system are in no checksum.
                BOOST_REQUIRE(text_in(*unpack(image, 1 << 20).image) == content());
            } catch (const Error& error) {
                BOOST_REQUIRE((error.kind() == ErrorKind::guest_image));
                ++damaged;
            }
        }
        BOOST_TEST(damaged > 1500u, boot::name_of(sample.packing));
    }
}

BOOST_AUTO_TEST_CASE(an_empty_content_is_no_guest) {
    const std::array<unsigned char, 20> empty{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 3, 0};
    BOOST_TEST(make_decoder(Packing::none) == nullptr);
    if (make_decoder(Packing::gzip)) {
        BOOST_TEST(error_of(bytes_of(empty)) == "kernel.packed is packed with gzip, and there is nothing in it");
    }
}

BOOST_AUTO_TEST_CASE(a_guest_is_unpacked_unless_it_is_said_to_be_flat) {
    for (const auto& sample : samples()) {
        BootRequest request{.path = "guest", .bytes = sample.bytes};
        Boot boot(request, 1 << 20);
        boot.plan({.map = {{0, 1 << 20, MemoryKind::ram}}});
        BOOST_TEST(contains(boot.inspect(), "flat binary of 1200 bytes\n  packed: "), boot.inspect());
        request.format = BootFormat::flat;
        Boot flat(request, 1 << 20);
        flat.plan({.map = {{0, 1 << 20, MemoryKind::ram}}});
        BOOST_TEST(flat.description() == fmt::format("flat binary of {} bytes", sample.bytes.size()));
    }
}
