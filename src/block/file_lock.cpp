#include "block/file_lock.hpp"

#include <fcntl.h>

#include <array>

namespace asyncvm::block {

namespace {

/// For each permission QEMU has two bytes of the file: whoever uses it locks the one, and whoever does not want others to
/// use it locks the other. All locks are shared; to look whether there is one is to ask for an exclusive one.
constexpr off_t used_base = 100;
constexpr off_t unshared_base = 200;

enum Permission : off_t { consistent_read = 0, write_data = 1, resize = 3 };

struct flock range(short type, off_t at) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = at;
    lock.l_len = 1;
    return lock;
}

void lock_byte(int fd, off_t at, short type = F_RDLCK) {
    auto lock = range(type, at);
    // A file system without locks has nobody to keep out.
    static_cast<void>(::fcntl(fd, F_OFD_SETLK, &lock));
}

bool is_locked(int fd, off_t at) {
    auto lock = range(F_WRLCK, at);
    return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace

std::string lock_disk(int fd, bool writes) {
    // First taken, then looked: of two that come at once at least one sees the other.
    lock_byte(fd, used_base + consistent_read);
    if (writes) lock_byte(fd, used_base + write_data);
    for (const off_t permission : {write_data, resize}) lock_byte(fd, unshared_base + permission);
    for (const off_t permission : {write_data, resize}) {
        if (is_locked(fd, used_base + permission)) return "another program or disk has it open for writing";
    }
    if (is_locked(fd, unshared_base + consistent_read) || (writes && is_locked(fd, unshared_base + write_data))) {
        return "another program has it open and wants nobody to write to it";
    }
    return {};
}

std::string lock_size(int fd) {
    lock_byte(fd, used_base + resize);
    if (!is_locked(fd, unshared_base + resize)) return {};
    unlock_size(fd);
    return "another program has it open and wants it to keep its size";
}

void unlock_size(int fd) noexcept { lock_byte(fd, used_base + resize, F_UNLCK); }

}  // namespace asyncvm::block
