/// A disk with the root file system of a Linux guest.
#pragma once

#include "linux_guest.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace linux_test {

/// What a program of the host says, and its exit code.
inline std::pair<std::string, int> ask(const std::string& command) {
    std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
    BOOST_REQUIRE(pipe != nullptr);
    std::string said;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) said += static_cast<char>(c);
    const int status = ::pclose(pipe);
    return {said, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

/// A copy that may be written to.
struct RootDisk {
    RootDisk() { std::filesystem::copy_file(file_from("LINUX_DISK"), image); }

    [[nodiscard]] std::vector<std::string> boot(const std::string& append = "",
                                                const Kernel& kernel = usual_kernel()) const {
        return booting("root=/dev/vda " + append, disks, kernel);
    }
    void check_clean() const {
        const auto [said, code] = ask("e2fsck -fn " + image);
        BOOST_TEST(code == 0, said);
    }

    TemporaryDirectory directory;
    std::string image = directory.file("root.img");
    std::vector<std::string> disks{"--disk", image + ",serial=root-1"};
};

/// An empty second disk, /dev/vdb, for what a guest writes past its page cache.
class DataDisk {
public:
    explicit DataDisk(RootDisk& root) : image_(root.directory.file("data.img")) {
        write_file(image_, "");
        std::filesystem::resize_file(image_, 8 << 20);
        root.disks.insert(root.disks.end(), {"--disk", image_});
    }

    /// Whether all that the guest has written is in the image, byte by byte, and comes back to the guest.
    void fill_and_compare(Shell& shell) const {
        shell.type(
            "head -c 8388608 /dev/urandom >/dev/data; dd if=/dev/data of=/dev/vdb bs=64k oflag=direct conv=fsync; "
            "sha256sum </dev/data; dd if=/dev/vdb bs=64k iflag=direct | cmp - /dev/data; echo compared=$?\n");
        const auto& shown = shell.wait_for("compared=0");
        const auto [sum, code] = ask("busybox sha256sum " + image_);
        BOOST_TEST(code == 0, sum);
        BOOST_TEST(shown.find(sum.substr(0, 64)) != std::string::npos, shown + sum);
    }

private:
    std::string image_;
};

/// A disk that becomes larger and then another one while Linux uses it: the last one of `root` so far.
class ChangingDisk {
public:
    explicit ChangingDisk(RootDisk& root)
        : socket_(root.directory.file("control")),
          image_(root.directory.file("changing.img")),
          other_(root.directory.file("other.img")) {
        write_file(image_, "the first");
        std::filesystem::resize_file(image_, 8 << 20);
        write_file(other_, "another");
        std::filesystem::resize_file(other_, 4 << 20);
        const auto before = std::ranges::count(root.disks, "--disk");
        label_ = "disk" + std::to_string(before);
        letter_ = static_cast<char>('a' + before);
        root.disks.insert(root.disks.end(), {"--disk", image_, "--control", "unix:" + socket_});
    }

    void change_and_look(Shell& shell) const {
        const std::string disk = std::string("vd") + letter_;
        const auto wait_for_size = [&](const char* sectors) {
            shell.type("until grep -q ^" + std::string(sectors) + "$ /sys/block/" + disk +
                       "/size; do :; done; echo size=$(cat /sys/block/" + disk + "/size)\n");
            shell.wait_for("size=" + std::string(sectors));
        };
        BOOST_TEST(run_asyncvm({"ctl", socket_, "block_resize", "device=" + label_, "size=0x1000000"}).code == 0);
        wait_for_size("32768");
        shell.type("dmesg | grep -c '" + disk + ". new size: 32768' | sed s/^/said=/; echo the last | dd of=/dev/" + disk +
                   " bs=512 seek=32767 conv=sync,fsync; echo written=$?\n");
        shell.wait_for("said=1");
        shell.wait_for("written=0");
        BOOST_TEST(run_asyncvm({"ctl", socket_, "blockdev-change-medium", "device=" + label_, "filename=" + other_}).code ==
                   0);
        wait_for_size("8192");
        shell.type("echo 3 >/proc/sys/vm/drop_caches; echo begins=$(head -c 7 /dev/" + disk + ")\n");
        shell.wait_for("begins=another");
        BOOST_TEST(read_file(image_).substr(32767 * 512).starts_with("the last\n"));
    }

private:
    std::string socket_;
    std::string image_;
    std::string other_;
    std::string label_;
    char letter_;
};

/// Writes to the disk, and reads it back from there.
inline void write_and_read_back(Shell& shell) {
    shell.type(
        "dd if=/dev/urandom of=/random bs=64k count=4; sync; md5sum /random >/sum; "
        "echo 3 >/proc/sys/vm/drop_caches; md5sum -c /sum\n");
    shell.wait_for("/random: OK");
}

}  // namespace linux_test
