#include "client.hpp"

#include "harness.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace program_test {

UnixClient::UnixClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        ::close(fd_);
        throw std::system_error(error, std::generic_category(), "connect to " + path);
    }
}

UnixClient::~UnixClient() { close(); }

void UnixClient::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

void UnixClient::write(std::string_view text) {
    if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
        throw std::runtime_error("cannot write to the unix socket");
    }
}

bool UnixClient::wait_for_data() {
    pollfd poll{fd_, POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    if (::poll(&poll, 1, static_cast<int>(limit.count())) != 1) throw std::runtime_error("nothing came on the unix socket");
    char byte;
    return ::recv(fd_, &byte, 1, MSG_PEEK) == 1;
}

std::string UnixClient::read_to_end() {
    std::string all;
    while (wait_for_data()) {
        char buffer[65536];
        const auto count = ::read(fd_, buffer, sizeof buffer);
        if (count <= 0) break;
        all.append(buffer, static_cast<std::size_t>(count));
    }
    return all;
}

}  // namespace program_test
