// --disk, with a guest that writes to it.
#define BOOST_TEST_MODULE disk
#include "harness.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

constexpr std::size_t disk_size = 64 << 10;

/// A disk whose first sector has these letters.
std::string disk_of(char letter) { return std::string(512, letter) + std::string(disk_size - 512, '.'); }

/// What the guest makes of it: the second sector is the first one inverted.
std::string written(std::string disk) {
    for (std::size_t i = 0; i < 512; ++i) disk[512 + i] = static_cast<char>(~disk[i]);
    return disk;
}

struct DiskFixture {
    DiskFixture() { write_file(image, disk_of('a')); }

    Ended run(const std::string& disk) const {
        return run_asyncvm({"-v", "--mode", "32", "--disk", disk, guest_path("virtio-blk")});
    }
    /// The message of a disk that is refused.
    std::string refused(const std::string& disk, int code) const {
        const auto ended = run(disk);
        BOOST_TEST(ended.code == code, ended.err);
        BOOST_TEST(ended.out == "");
        return ended.err;
    }

    TemporaryDirectory directory;
    std::string image = directory.file("disk.img");
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_the_guest_writes_is_in_the_image, DiskFixture) {
    const auto ended = run(image);
    BOOST_TEST(ended.out == "virtio-blk ok\n", ended.err);
    BOOST_TEST(ended.code == 0);
    BOOST_TEST((read_file(image) == written(disk_of('a'))));
    BOOST_TEST(has(ended.err, "disk " + image + ", 64 KiB, by "), ended.err);
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_leaves_the_image_as_it_is, DiskFixture) {
    const auto ended = run(image + ",snapshot");
    BOOST_TEST(ended.out == "virtio-blk ok\n", ended.err);
    BOOST_TEST((read_file(image) == disk_of('a')));
}

BOOST_FIXTURE_TEST_CASE(past_the_page_cache_it_is_the_same, DiskFixture) {
    const auto ended = run(image + ",cache=none");
    if (has(ended.err, "drop cache=none")) {
        BOOST_TEST_MESSAGE("skipped: no O_DIRECT on this file system");
        return;
    }
    BOOST_TEST(ended.out == "virtio-blk ok\n", ended.err);
    BOOST_TEST((read_file(image) == written(disk_of('a'))));
}

BOOST_FIXTURE_TEST_CASE(a_guest_can_not_write_to_a_read_only_disk, DiskFixture) {
    const auto ended = run(image + ",ro");
    BOOST_TEST(ended.out == "virtio-blk failed\n", ended.err);
    BOOST_TEST((read_file(image) == disk_of('a')));
}

BOOST_FIXTURE_TEST_CASE(the_disk_of_a_second_vm_is_in_use, DiskFixture) {
    const std::string serial = directory.file("serial");
    Child first(
        asyncvm({"--serial", "unix:" + serial + ",wait", "--mode", "32", "--disk", image, guest_path("virtio-blk")}));
    first.wait_for_error("serial0");
    BOOST_TEST(has(refused(image, 72), "it is in use"));
    first.send_signal(SIGTERM);
    first.wait();
    BOOST_TEST(run(image).out == "virtio-blk ok\n");
}

BOOST_FIXTURE_TEST_CASE(what_is_no_disk_is_refused, DiskFixture) {
    BOOST_TEST(has(refused(directory.file("absent.img"), 72), "no such file"));
    BOOST_TEST(has(refused(image + ",readonly", 64), "no option readonly"));
    write_file(image, std::string("QFI\xfb") + std::string(508, '\0'));
    BOOST_TEST(has(refused(image, 72), "qcow2"));
}
