#include "block/nbd.hpp"

#include "block/image_error.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#ifdef ASYNCVM_HAS_NBD

#include "block/error_log.hpp"
#include "block/nbd_session.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace asyncvm::block {

namespace {

using nbd::Command;
using nbd::Export;
using nbd::Session;

/// For a server that takes a connection and then says nothing.
constexpr std::chrono::seconds connect_limit{10};

/// A server that is lost is looked for again, at most once a second, by the requests that need it. Until it is there they
/// fail at once.
class NbdBackend final : public BlockBackend {
public:
    /// `session` is connected.
    NbdBackend(const DiskSpec& spec, asio::io_context& loop, Log log, std::shared_ptr<Session> session)
        : loop_(loop), uri_(spec.source), errors_(std::move(log), spec.source), session_(std::move(session)) {
        export_ = session_->describe();
        const std::uint64_t size = export_.size / export_.block_size * export_.block_size;
        if (size == 0) throw ImageError(uri_, "its export has no whole block");
        if (export_.read_only && !spec.read_only && !spec.snapshot) {
            throw ImageError(uri_, "its export is read-only", "add ,ro, or ,snapshot to keep the guest's writes elsewhere");
        }
        properties_ = {
            .size = size,
            .read_only = spec.read_only || spec.snapshot,
            .block_size = export_.block_size,
            .description = fmt::format("{}, {} KiB{}, by NBD", uri_, size >> 10, spec.read_only ? ", read-only" : "")};
    }

    ~NbdBackend() override { session_->close(); }

    [[nodiscard]] const BlockProperties& properties() const noexcept override { return properties_; }

    [[nodiscard]] awaitable<std::error_code> read(std::uint64_t offset, ReadSpans to) override {
        std::uint64_t size = 0;
        for (const auto& span : to) size += span.size();
        if (const auto error = outside(offset, size, properties_.size)) co_return error;
        auto span = to.begin();
        std::size_t filled = 0;  // of *span
        for (std::uint64_t done = 0; done < size;) {
            auto command =
                std::make_shared<Command>(Command::Kind::read, offset + done, std::min(size - done, export_.most));
            command->data.resize(command->size);
            const auto error = co_await run(command, "a read");
            if (error) co_return error;
            done += command->size;
            for (std::span<const std::byte> data = command->data; !data.empty();) {
                if (filled == span->size()) {
                    ++span;
                    filled = 0;
                    continue;
                }
                const auto count = std::min(data.size(), span->size() - filled);
                std::memcpy(span->data() + filled, data.data(), count);
                filled += count;
                data = data.subspan(count);
            }
        }
        co_return std::error_code();
    }

    [[nodiscard]] awaitable<std::error_code> write(std::uint64_t offset, WriteSpans from) override {
        std::vector<std::byte> bytes;
        for (const auto& span : from) bytes.insert(bytes.end(), span.begin(), span.end());
        if (const auto error = refusal(offset, bytes.size())) co_return error;
        for (std::uint64_t done = 0; done < bytes.size();) {
            auto command = std::make_shared<Command>(Command::Kind::write, offset + done,
                                                     std::min<std::uint64_t>(bytes.size() - done, export_.most));
            const auto piece = std::span(bytes).subspan(done, command->size);
            command->data.assign(piece.begin(), piece.end());
            const auto error = co_await run(command, "a write");
            if (error) co_return error;
            done += command->size;
        }
        co_return std::error_code();
    }

    [[nodiscard]] awaitable<std::error_code> flush() override {
        if (!export_.flushes) co_return std::error_code();
        const auto command = std::make_shared<Command>(Command::Kind::flush, 0, 0);
        const auto error = co_await run(command, "a flush");
        co_return error;
    }

    [[nodiscard]] awaitable<std::error_code> discard(std::uint64_t offset, std::uint64_t size) override {
        if (const auto error = refusal(offset, size); error || !export_.trims) co_return error;
        const auto error = co_await on_range(Command::Kind::trim, offset, size, "a discard");
        co_return error;
    }

    [[nodiscard]] awaitable<std::error_code> write_zeroes(std::uint64_t offset, std::uint64_t size,
                                                          bool may_unmap) override {
        if (const auto error = refusal(offset, size)) co_return error;
        const auto kind = !export_.zeroes ? Command::Kind::write
                          : may_unmap     ? Command::Kind::zero_and_unmap
                                          : Command::Kind::zero;
        const auto error = co_await on_range(kind, offset, size, "a write of zeros");
        co_return error;
    }

    [[nodiscard]] awaitable<void> resize(std::uint64_t size) override {
        if (size != properties_.size) throw Error(ErrorKind::host, "Cannot resize NBD nodes");
        co_return;
    }

private:
    [[nodiscard]] std::error_code refusal(std::uint64_t offset, std::uint64_t size) const noexcept {
        if (properties_.read_only) return std::make_error_code(std::errc::read_only_file_system);
        return outside(offset, size, properties_.size);
    }

    awaitable<std::error_code> on_range(Command::Kind kind, std::uint64_t offset, std::uint64_t size,
                                        std::string_view operation) {
        constexpr std::uint64_t most_zeros = 1 << 20;
        const std::uint64_t most = kind == Command::Kind::write ? std::min(most_zeros, export_.most) : export_.most;
        for (std::uint64_t done = 0; done < size;) {
            const auto command = std::make_shared<Command>(kind, offset + done, std::min(size - done, most));
            if (kind == Command::Kind::write) command->data.resize(command->size);
            const auto error = co_await run(command, operation);
            if (error) co_return error;
            done += command->size;
        }
        co_return std::error_code();
    }

    awaitable<std::error_code> run(std::shared_ptr<Command> command, std::string_view operation) {
        // Another request may replace the session meanwhile.
        const auto session = current_session();
        for (;;) {
            const auto seen = session->changed().generation();
            if (session->ready() || session->ended()) break;
            const bool changed = co_await session->changed().wait(seen, connect_limit);
            if (!changed) session->close();
        }
        if (!accepted(*session)) co_return std::make_error_code(std::errc::io_error);
        session->submit(command);
        co_await command->wait();
        if (!session->ended()) {
            errors_.note(operation, command->error);
        } else if (command->error) {
            say_lost(*session);
        }
        co_return command->error;
    }

    /// The one that is there, or one that begins to connect now.
    std::shared_ptr<Session> current_session() {
        const auto now = std::chrono::steady_clock::now();
        if (!session_->ended() || now - last_attempt_ < nbd_attempt_pause) return session_;
        say_lost(*session_);
        last_attempt_ = now;
        session_ = std::make_shared<Session>(loop_);
        session_->start_connecting(uri_);
        return session_;
    }

    /// Whether requests can go to `session`: it is connected, and to the same disk as before.
    bool accepted(Session& session) {
        if (session.ended()) {
            say_lost(session);
            return false;
        }
        if (!std::exchange(lost_, false)) return true;
        const Export found = session.describe();
        if (found.size == export_.size && found.block_size <= export_.block_size &&
            (!found.read_only || properties_.read_only)) {
            export_.most = found.most;
            export_.flushes = found.flushes;
            export_.trims = found.trims;
            export_.zeroes = found.zeroes;
            errors_.forget();
            errors_.say("the NBD server is back");
            return true;
        }
        lost_ = true;
        session.close();
        if (!std::exchange(said_other_, true)) errors_.say("the NBD server is back with another disk: it is not used");
        return false;
    }

    void say_lost(const Session& session) {
        if (&session == session_.get() && !std::exchange(lost_, true)) {
            errors_.say("the NBD server is lost: requests fail until it is back");
        }
    }

    asio::io_context& loop_;
    const std::string uri_;
    ErrorLog errors_;
    std::shared_ptr<Session> session_;
    Export export_;
    BlockProperties properties_;
    std::chrono::steady_clock::time_point last_attempt_{};
    bool lost_ = false;
    bool said_other_ = false;
};

std::shared_ptr<Session> session_of(const DiskSpec& spec, asio::io_context& loop) {
    try {
        nbd::load_library();
    } catch (const Error& error) {
        throw ImageError(spec.source, error.what());
    }
    return std::make_shared<Session>(loop);
}

}  // namespace

std::shared_ptr<BlockBackend> open_nbd(const DiskSpec& spec, asio::io_context& loop, Log log) {
    const auto session = session_of(spec, loop);
    try {
        session->connect(spec.source);
    } catch (const Error& error) {
        throw ImageError(spec.source, error.what());
    }
    return std::make_shared<NbdBackend>(spec, loop, std::move(log), session);
}

awaitable<std::shared_ptr<BlockBackend>> open_nbd_on_loop(DiskSpec spec, asio::io_context& loop, Log log) {
    /// A session that waits for its socket has itself.
    struct Guard {
        explicit Guard(std::shared_ptr<Session> of) : session(std::move(of)) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() {
            if (!taken) session->close();
        }
        const std::shared_ptr<Session> session;
        bool taken = false;
    } guard(session_of(spec, loop));
    const auto session = guard.session;
    session->start_connecting(spec.source);
    for (;;) {
        const auto seen = session->changed().generation();
        if (session->ready()) break;
        if (session->ended()) throw ImageError(spec.source, session->why());
        const bool changed = co_await session->changed().wait(seen, connect_limit);
        if (!changed) throw ImageError(spec.source, "the server has not answered in time");
    }
    auto disk = std::make_shared<NbdBackend>(spec, loop, std::move(log), session);
    guard.taken = true;
    co_return disk;
}

}  // namespace asyncvm::block

#else

namespace asyncvm::block {

std::shared_ptr<BlockBackend> open_nbd(const DiskSpec& spec, asio::io_context&, Log) {
    throw ImageError(spec.source, "this asyncvm was built without libnbd");
}

awaitable<std::shared_ptr<BlockBackend>> open_nbd_on_loop(DiskSpec spec, asio::io_context& loop, Log log) {
    co_return open_nbd(spec, loop, std::move(log));
}

}  // namespace asyncvm::block

#endif
