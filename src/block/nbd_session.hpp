/// One connection to an NBD server, driven by the device loop.
#pragma once

#include "block/nbd_library.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace asyncvm::block::nbd {

/// A request to the server, with memory of its own: a server that never answers holds no memory of the guest.
struct Command : OneShot {
    enum class Kind : std::uint8_t { read, write, flush, trim, zero, zero_and_unmap };

    Command(Kind what, std::uint64_t from, std::uint64_t bytes) : kind(what), offset(from), size(bytes) {}

    const Kind kind;
    const std::uint64_t offset;
    const std::uint64_t size;
    std::vector<std::byte> data;  ///< to be written, or read
    std::error_code error{};
};

/// What the server has said about itself.
struct Export {
    std::uint64_t size = 0;
    std::uint32_t block_size = 512;
    std::uint64_t most = 0;  ///< bytes of a request
    bool read_only = false, flushes = false, trims = false, zeroes = false;
};

/// A libnbd handle and its socket. Once it has ended it stays so: there is no way back to a connection, and the next one
/// needs a new session. Device loop.
class Session : public std::enable_shared_from_this<Session> {
public:
    explicit Session(asio::io_context& loop);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Blocks until the server has answered. Throws Error(host) with libnbd's words.
    void connect(const std::string& uri);
    /// Does not block; changed() tells when ready() or ended() has become true.
    void start_connecting(const std::string& uri);

    [[nodiscard]] bool ready() const noexcept;
    [[nodiscard]] bool ended() const noexcept;
    [[nodiscard]] Event& changed() noexcept { return changed_; }
    /// What libnbd said when it ended before it was ready.
    [[nodiscard]] const std::string& why() const noexcept { return why_; }
    /// Of a session that is ready.
    [[nodiscard]] Export describe() const;

    /// The command completes (as a OneShot) with its error, perhaps before this returns.
    void submit(const std::shared_ptr<Command>& command);

    /// What waits for the socket goes, so that the session can. Commands that are under way end with EIO.
    void close() noexcept;

private:
    /// After each call of libnbd: it may want something else of its socket now.
    void watch();
    /// After a call that has failed; the next one forgets it.
    void keep_reason(int result);
    void wait_for(asio::posix::stream_descriptor::wait_type what, bool& waiting);

    asio::io_context& loop_;
    nbd_handle* handle_;
    std::optional<asio::posix::stream_descriptor> socket_;
    std::string why_;
    bool was_ready_ = false;
    bool reading_ = false;
    bool writing_ = false;
    Event changed_;
};

}  // namespace asyncvm::block::nbd
