// --disk, with a guest that writes to it.
#define BOOST_TEST_MODULE disk
#include "harness.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>

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

namespace {

/// The disk that QEMU's storage daemon serves at `socket`.
struct StorageDaemon {
    StorageDaemon(const std::string& image, const std::string& socket)
        : child({"qemu-storage-daemon", "--blockdev", "driver=file,node-name=f,filename=" + image, "--blockdev",
                 "driver=raw,node-name=r,file=f", "--export",
                 "type=vhost-user-blk,id=e,node-name=r,writable=on,addr.type=unix,addr.path=" + socket}) {
        child.wait_until("the storage daemon's socket", [&socket] { return ::access(socket.c_str(), F_OK) == 0; });
    }
    static bool is_installed() { return std::system("qemu-storage-daemon --version >/dev/null 2>&1") == 0; }

    Child child;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(another_process_serves_a_disk, DiskFixture) {
    if (!StorageDaemon::is_installed()) {
        BOOST_TEST_MESSAGE("skipped: no qemu-storage-daemon (Debian: qemu-utils)");
        return;
    }
    const std::string socket = directory.file("disk.sock");
    const StorageDaemon daemon(image, socket);
    const auto ended = run("vhost-user:" + socket);
    BOOST_TEST(ended.out == "virtio-blk ok\n", ended.err);
    BOOST_TEST(ended.code == 0);
    BOOST_TEST((read_file(image) == written(disk_of('a'))));
    // It takes the next machine.
    BOOST_TEST(run("vhost-user:" + socket).out == "virtio-blk ok\n");
}

BOOST_FIXTURE_TEST_CASE(a_disk_outlives_the_process_that_serves_it, DiskFixture) {
    if (!StorageDaemon::is_installed()) {
        BOOST_TEST_MESSAGE("skipped: no qemu-storage-daemon (Debian: qemu-utils)");
        return;
    }
    const std::string socket = directory.file("disk.sock");
    const std::string serial = directory.file("serial");
    auto daemon = std::make_unique<StorageDaemon>(image, socket);
    // The guest waits for a client.
    Child vm(asyncvm({"-v", "--serial", "unix:" + serial + ",wait", "--mode", "32", "--disk", "vhost-user:" + socket,
                      guest_path("virtio-blk")}));
    vm.wait_for_error_line("disk0: the back end at " + socket + " serves it");
    daemon.reset();
    ::unlink(socket.c_str());
    Child client({"nc", "-U", serial});
    vm.wait_for_error_line("disk0: the back end at " + socket + " is gone: it has closed the connection");
    daemon = std::make_unique<StorageDaemon>(image, socket);
    vm.wait_for_error_line("disk0: the back end at " + socket + " is there again");
    const auto ended = vm.wait();
    BOOST_TEST(ended.out == "virtio-blk ok\n", ended.err);
    BOOST_TEST((read_file(image) == written(disk_of('a'))));
}

BOOST_FIXTURE_TEST_CASE(a_process_that_is_not_there_serves_no_disk, DiskFixture) {
    BOOST_TEST(has(refused("vhost-user:" + directory.file("absent.sock"), 72), "cannot use the vhost-user back end at"));
}

BOOST_FIXTURE_TEST_CASE(what_is_no_disk_is_refused, DiskFixture) {
    BOOST_TEST(has(refused(directory.file("absent.img"), 72), "no such file"));
    BOOST_TEST(has(refused(image + ",readonly", 64), "no option readonly"));
    write_file(image, std::string("QFI\xfb") + std::string(508, '\0'));
    BOOST_TEST(has(refused(image, 72), "qcow2"));
}
