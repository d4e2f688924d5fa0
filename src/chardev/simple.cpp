#include <fmt/format.h>
#include <chardev/simple.hpp>

#include <cerrno>
#include <utility>

namespace asyncvm {

FileBackend::FileBackend(const ChardevSpec& spec, ChardevEnvironment environment)
    : Backend(spec, std::move(environment)), file_(spec.path, spec.append, Queue::Reader::client) {
    queue().set_connected(true);
}

void FileBackend::run() { spawn(feed(shared_from_this(), file_)); }

std::string FileBackend::waiting(std::uint64_t bytes) const {
    return fmt::format("{} to be written to {} (Ctrl-C gives up)", bytes_wait(bytes), file_.path());
}

void FileBackend::shut() noexcept {
    while (file_.flush(queue()) == EINTR) {
    }
}

NullBackend::NullBackend(const ChardevSpec& spec, ChardevEnvironment environment)
    : Backend(spec, std::move(environment), false) {
    queue().set_connected(true);
}

}  // namespace asyncvm
