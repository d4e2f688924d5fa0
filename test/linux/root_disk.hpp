/// A disk with the root file system of a Linux guest.
#pragma once

#include "linux_guest.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/wait.h>

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

/// Writes to the disk, and reads it back from there.
inline void write_and_read_back(Shell& shell) {
    shell.type(
        "dd if=/dev/urandom of=/random bs=64k count=4; sync; md5sum /random >/sum; "
        "echo 3 >/proc/sys/vm/drop_caches; md5sum -c /sum\n");
    shell.wait_for("/random: OK");
}

}  // namespace linux_test
