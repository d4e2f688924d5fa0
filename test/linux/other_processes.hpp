/// Devices that other processes serve to a Linux guest: a folder of this host by virtiofsd, a disk by QEMU's storage daemon.
#pragma once

#include "linux_guest.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace linux_test {

class OtherProcesses {
public:
    OtherProcesses() {
        if (!has_files() || !has_disk()) BOOST_TEST_MESSAGE("skipped in part: no virtiofsd or qemu-storage-daemon");
        std::filesystem::create_directory(folder_);
        write_file(folder_ + "/greeting", "from the host\n");
        write_file(folder_ + "/many", many_);
        write_file(image_, many_);
        if (has_files()) {
            // The machine's root is an initial RAM disk, out of which no other sandbox leads.
            files_ = std::make_unique<Child>(std::vector<std::string>{virtiofsd, "--socket-path=" + files_socket_, "-o",
                                                                      "source=" + folder_, "-o", "sandbox=chroot"});
            wait_for_socket(*files_, files_socket_);
        }
        if (has_disk()) start_disk();
    }
    OtherProcesses(const OtherProcesses&) = delete;
    OtherProcesses& operator=(const OtherProcesses&) = delete;

    [[nodiscard]] std::vector<std::string> options() const {
        std::vector<std::string> words;
        if (files_) words.insert(words.end(), {"--fs", files_socket_ + ",tag=host"});
        if (disk_) words.insert(words.end(), {"--disk", "vhost-user:" + disk_socket_});
        return words;
    }

    /// At the guest's shell.
    void use(SerialVm& vm, Shell& shell) {
        if (files_) {
            shell.type("mkdir /host; mount -t virtiofs host /host; cat /host/greeting\n");
            shell.wait_for("from the host");
            shell.type("cp /host/many /host/copy && echo from the guest >/host/answer && umount /host; echo shared=$?\n");
            shell.wait_for("shared=0");
        }
        if (!disk_) return;
        shell.type("md5sum /dev/vda >/before; echo before=$?\n");
        shell.wait_for("before=0");
        // The disk's process dies, and another one takes its place while the guest reads on.
        disk_.reset();
        vm.wait_for_error_line("disk0: the back end at " + disk_socket_ + " is gone");
        shell.type("echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/vda | cmp - /before; echo same=$?\n");
        ::unlink(disk_socket_.c_str());
        start_disk();
        shell.wait_for("same=0");
        shell.type("echo from the guest | dd of=/dev/vda conv=fsync; echo written=$?\n");
        shell.wait_for("written=0");
    }

    /// After the guest's end.
    void check() const {
        if (files_) {
            BOOST_TEST(read_file(folder_ + "/answer") == "from the guest\n");
            BOOST_TEST((read_file(folder_ + "/copy") == many_));
        }
        if (disk_) BOOST_TEST(read_file(image_).substr(0, 15) == "from the guest\n");
    }

private:
    static constexpr const char* virtiofsd = "/usr/lib/qemu/virtiofsd";

    static bool has_files() { return ::access(virtiofsd, X_OK) == 0; }
    static bool has_disk() { return std::system("qemu-storage-daemon --version >/dev/null 2>&1") == 0; }
    static void wait_for_socket(Child& child, const std::string& path) {
        child.wait_until("the socket " + path, [&path] { return ::access(path.c_str(), F_OK) == 0; });
    }
    void start_disk() {
        disk_ = std::make_unique<Child>(std::vector<std::string>{
            "qemu-storage-daemon", "--blockdev", "driver=file,node-name=f,filename=" + image_, "--blockdev",
            "driver=raw,node-name=r,file=f", "--export",
            "type=vhost-user-blk,id=e,node-name=r,writable=on,addr.type=unix,addr.path=" + disk_socket_});
        wait_for_socket(*disk_, disk_socket_);
    }
    static std::string letters() {
        std::string text(128 << 10, 'a');
        for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i * i % 23);
        return text;
    }

    TemporaryDirectory directory_;
    const std::string many_ = letters();
    const std::string folder_ = directory_.file("shared");
    const std::string image_ = directory_.file("disk.img");
    const std::string files_socket_ = directory_.file("files.sock");
    const std::string disk_socket_ = directory_.file("disk.sock");
    std::unique_ptr<Child> files_;
    std::unique_ptr<Child> disk_;
};

}  // namespace linux_test
