// Block devices, by loop devices: their size, their blocks, and that they give place back.
#define BOOST_TEST_MODULE block_device
#include <boost/test/unit_test.hpp>

#include "block/file_backend.hpp"
#include "block_fixture.hpp"

#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>

using namespace asyncvm;
using namespace asyncvm::test;
using block::Engines;
using block::FileBackend;

namespace {

/// What `command` prints, without its last newline; nothing if it fails.
std::string output_of(const std::string& command) {
    std::FILE* const pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return {};
    std::string text;
    for (int byte = 0; (byte = std::fgetc(pipe)) != EOF;) text.push_back(static_cast<char>(byte));
    const int status = ::pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return {};
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

/// A file as a block device, until the object goes.
class LoopDevice {
public:
    explicit LoopDevice(const std::string& image, const std::string& options = {})
        : name_(output_of("PATH=$PATH:/usr/sbin:/sbin losetup --show --find " + options + " " + image)) {}
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;
    ~LoopDevice() {
        if (exists()) output_of("PATH=$PATH:/usr/sbin:/sbin losetup --detach " + name_);
    }
    [[nodiscard]] bool exists() const { return !name_.empty(); }
    [[nodiscard]] const std::string& name() const { return name_; }

private:
    std::string name_;
};

constexpr std::size_t disk_size = 1 << 20;

struct DeviceFixture : BlockFixture {
    DeviceFixture() { make_image(pattern(disk_size, 1)); }

    std::shared_ptr<FileBackend> open(const LoopDevice& device, bool direct = false, Engines engines = Engines::automatic) {
        spec.source = device.name();
        spec.direct = direct;
        return std::make_shared<FileBackend>(block::open_file(spec), loop, log(), engines);
    }
    [[nodiscard]] std::uint64_t bytes_on_host() const {
        struct stat status {};
        BOOST_REQUIRE(::stat(image.c_str(), &status) == 0);
        return static_cast<std::uint64_t>(status.st_blocks) * 512;
    }

    const std::string image = path("disk.img");
    DiskSpec spec;
};

awaitable<bool> resize(FileBackend& disk, std::uint64_t size) {
    co_await disk.resize(size);
    co_return true;
}

boost::test_tools::assertion_result can_have_a_loop_device(boost::unit_test::test_unit_id) {
    const DeviceFixture fixture;
    if (LoopDevice(fixture.image).exists()) return true;
    boost::test_tools::assertion_result cannot(false);
    cannot.message() << "cannot make a loop device (losetup, as root)";
    return cannot;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(loop_device, *boost::unit_test::precondition(can_have_a_loop_device))

BOOST_FIXTURE_TEST_CASE(a_device_has_its_size_and_is_read_and_written, DeviceFixture) {
    for (const bool direct : {false, true}) {
        for (const Engines engines : {Engines::threads, Engines::automatic}) {
            make_image(pattern(disk_size, 1));
            const LoopDevice device(image);
            const auto disk = open(device, direct, engines);
            BOOST_TEST(disk->properties().size == disk_size);
            BOOST_TEST(disk->properties().block_size == 512u);
            BOOST_TEST(!disk->properties().read_only);
            BOOST_TEST((read(*disk, 0, disk_size) == pattern(disk_size, 1)));
            const auto written = pattern(8192, 2);
            BOOST_TEST(!write(*disk, 4096, written));
            BOOST_TEST(!await(disk->flush()));
            auto whole = pattern(disk_size, 1);
            std::ranges::copy(written, whole.begin() + 4096);
            BOOST_TEST((contents(image) == whole));
            BOOST_TEST((write(*disk, disk_size - 512, pattern(1024, 2)) == error_of(std::errc::invalid_argument)));
        }
    }
}

BOOST_FIXTURE_TEST_CASE(a_discard_gives_the_place_of_the_file_below_back, DeviceFixture) {
    const LoopDevice device(image);
    const auto disk = open(device);
    BOOST_TEST(!await(disk->flush()));
    const auto before = bytes_on_host();
    BOOST_TEST(!await(disk->discard(65536, disk_size - 65536)));
    BOOST_TEST(bytes_on_host() < before);
    BOOST_TEST((read(*disk, 0, 65536) == pattern(65536, 1)));
    BOOST_TEST((read(*disk, 65536, 4096) == Bytes(4096)));
}

BOOST_FIXTURE_TEST_CASE(zeros_are_read_after_they_were_written, DeviceFixture) {
    const LoopDevice device(image);
    const auto disk = open(device);
    auto expected = pattern(disk_size, 1);
    for (const bool may_unmap : {false, true}) {
        const std::size_t at = may_unmap ? 131072 : 4608;
        BOOST_TEST(!await(disk->write_zeroes(at, 100 * 512, may_unmap)));
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(at), 100 * 512, std::byte{0});
    }
    BOOST_TEST((read(*disk, 0, disk_size) == expected));
}

BOOST_FIXTURE_TEST_CASE(a_device_that_has_become_larger_is_taken_over_and_none_is_made_larger, DeviceFixture) {
    const LoopDevice device(image);
    const auto disk = open(device);
    const auto why_not = [&](std::uint64_t size) { return refused([&] { BOOST_TEST(await(resize(*disk, size))); }); };
    BOOST_TEST(why_not(2 * disk_size) == "Cannot grow device files");
    BOOST_TEST(disk->properties().size == disk_size);
    std::filesystem::resize_file(image, 2 * disk_size);
    output_of("PATH=$PATH:/usr/sbin:/sbin losetup --set-capacity " + device.name());
    BOOST_TEST(why_not(disk_size) == "");
    BOOST_TEST(disk->properties().size == 2 * disk_size);
    BOOST_TEST(!write(*disk, 2 * disk_size - 4096, pattern(4096, 3)));
    BOOST_TEST(!disk->allocated().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_device_of_large_blocks_says_so_and_takes_ranges_that_are_no_blocks, DeviceFixture) {
    const LoopDevice device(image, "--sector-size 4096");
    const auto disk = open(device);
    BOOST_TEST(disk->properties().block_size == 4096u);
    // A range of half a block can't be given back, which is no error; its zeros are written as bytes.
    BOOST_TEST(!await(disk->discard(512, 4096)));
    BOOST_TEST((read(*disk, 0, 8192) == pattern(8192, 1)));
    auto expected = pattern(disk_size, 1);
    for (const bool may_unmap : {false, true}) {
        BOOST_TEST(!await(disk->write_zeroes(8192 + 512, 4096, may_unmap)));
        std::fill_n(expected.begin() + 8192 + 512, 4096, std::byte{0});
        BOOST_TEST((read(*disk, 0, disk_size) == expected));
    }
    BOOST_TEST(lines.empty());
}

BOOST_FIXTURE_TEST_CASE(a_read_only_device_is_no_disk_to_write_to, DeviceFixture) {
    const LoopDevice device(image, "--read-only");
    BOOST_TEST(refused([&] { static_cast<void>(open(device)); }) ==
               "--disk " + device.name() +
                   ": the device is read-only (add ,ro if the guest only reads, or ,snapshot to keep its writes elsewhere)");
    spec.snapshot = true;
    BOOST_TEST(open(device)->properties().read_only);
    spec.snapshot = false;
    spec.read_only = true;
    const auto disk = open(device);
    BOOST_TEST(disk->properties().read_only);
    BOOST_TEST((write(*disk, 0, pattern(512, 2)) == error_of(std::errc::read_only_file_system)));
    BOOST_TEST((read(*disk, 0, 512) == pattern(512, 1)));
}

BOOST_FIXTURE_TEST_CASE(a_device_is_in_use_by_one_machine_at_a_time, DeviceFixture) {
    const LoopDevice device(image);
    const auto disk = open(device);
    BOOST_TEST(has(refused([&] { static_cast<void>(open(device)); }), "it is in use"));
}

BOOST_AUTO_TEST_SUITE_END()
