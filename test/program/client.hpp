/// The other end of a unix socket, which does nothing unless it is told to.
#pragma once

#include <string>
#include <string_view>

namespace program_test {

class UnixClient {
public:
    /// Connects. Throws if there is nobody.
    explicit UnixClient(const std::string& path);
    ~UnixClient();
    UnixClient(const UnixClient&) = delete;
    UnixClient& operator=(const UnixClient&) = delete;

    void write(std::string_view text);
    /// Waits until there is something to read, and leaves it where it is. Returns false at the end of the stream.
    bool wait_for_data();
    /// Everything up to the end of the stream.
    std::string read_to_end();
    void close();

private:
    int fd_;
};

}  // namespace program_test
