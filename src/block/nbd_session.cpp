#include "block/nbd_session.hpp"

#include "dynamic/shared_library.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace asyncvm::block::nbd {

#define ASYNCVM_DEFINE(name) decltype(&::name) name = nullptr;
ASYNCVM_NBD_FUNCTIONS(ASYNCVM_DEFINE)
#undef ASYNCVM_DEFINE

namespace {

bool load() {
    try {
        const SharedLibrary library("libnbd.so.0");
#define ASYNCVM_FIND(name) library.find(#name, name);
        ASYNCVM_NBD_FUNCTIONS(ASYNCVM_FIND)
#undef ASYNCVM_FIND
    } catch (const Error& error) {
        throw Error(error.kind(), fmt::format("cannot load libnbd: {} (install libnbd0)", error.what()));
    }
    return true;
}

const std::error_code lost = std::make_error_code(std::errc::io_error);

/// libnbd calls it inside one of its functions, and no other may be called from here.
int command_done(void* data, int* error) {
    Command& command = **static_cast<std::shared_ptr<Command>*>(data);
    if (*error == EINVAL || *error == ENOSPC || *error == EPERM) {
        command.error = {*error == EPERM ? EROFS : *error, std::generic_category()};
    } else if (*error != 0) {
        command.error = lost;
    }
    command.complete();
    return 1;
}

/// The last word about a command. One that is still under way has lost its connection.
void command_gone(void* data) {
    const std::unique_ptr<std::shared_ptr<Command>> command(static_cast<std::shared_ptr<Command>*>(data));
    const auto error = std::exchange((*command)->error, lost);
    if (!(*command)->complete()) (*command)->error = error;
}

}  // namespace

void load_library() { [[maybe_unused]] static const bool loaded = load(); }

Session::Session(asio::io_context& loop) : loop_(loop), handle_(nbd_create()) {
    if (handle_ == nullptr) throw std::bad_alloc();
}

Session::~Session() { close(); }

void Session::connect(const std::string& uri) {
    if (nbd_connect_uri(handle_, uri.c_str()) != 0) throw Error(ErrorKind::host, nbd_get_error());
    watch();
}

void Session::start_connecting(const std::string& uri) {
    keep_reason(nbd_aio_connect_uri(handle_, uri.c_str()) < 0 ? -1 : 0);
    watch();
}

void Session::keep_reason(int result) {
    if (result == 0 || was_ready_) return;
    const char* const error = nbd_get_error();
    why_ = error != nullptr ? error : "";
}

bool Session::ready() const noexcept {
    return handle_ != nullptr && (nbd_aio_is_ready(handle_) == 1 || nbd_aio_is_processing(handle_) == 1);
}

bool Session::ended() const noexcept {
    return handle_ == nullptr || nbd_aio_is_dead(handle_) == 1 || nbd_aio_is_closed(handle_) == 1;
}

Export Session::describe() const {
    constexpr std::uint64_t usual_most = 32 << 20;
    const auto minimum = nbd_get_block_size(handle_, LIBNBD_SIZE_MINIMUM);
    const auto maximum = nbd_get_block_size(handle_, LIBNBD_SIZE_MAXIMUM);
    Export result;
    result.size = static_cast<std::uint64_t>(std::max<std::int64_t>(nbd_get_size(handle_), 0));
    result.block_size = static_cast<std::uint32_t>(std::max<std::int64_t>(minimum, 512));
    result.most = maximum > 0 ? std::min(static_cast<std::uint64_t>(maximum), usual_most) : usual_most;
    result.read_only = nbd_is_read_only(handle_) == 1;
    result.flushes = nbd_can_flush(handle_) == 1;
    result.trims = nbd_can_trim(handle_) == 1;
    result.zeroes = nbd_can_zero(handle_) == 1;
    return result;
}

void Session::submit(const std::shared_ptr<Command>& command) {
    const nbd_completion_callback callback{
        .callback = command_done, .user_data = new std::shared_ptr<Command>(command), .free = command_gone};
    void* const data = command->data.data();
    switch (command->kind) {
        case Command::Kind::read:
            static_cast<void>(nbd_aio_pread(handle_, data, command->size, command->offset, callback, 0));
            break;
        case Command::Kind::write:
            static_cast<void>(nbd_aio_pwrite(handle_, data, command->size, command->offset, callback, 0));
            break;
        case Command::Kind::flush:
            static_cast<void>(nbd_aio_flush(handle_, callback, 0));
            break;
        case Command::Kind::trim:
            static_cast<void>(nbd_aio_trim(handle_, command->size, command->offset, callback, 0));
            break;
        case Command::Kind::zero:
            static_cast<void>(nbd_aio_zero(handle_, command->size, command->offset, callback, LIBNBD_CMD_FLAG_NO_HOLE));
            break;
        case Command::Kind::zero_and_unmap:
            static_cast<void>(nbd_aio_zero(handle_, command->size, command->offset, callback, 0));
            break;
    }
    watch();
}

void Session::close() noexcept {
    if (handle_ == nullptr) return;
    socket_.reset();
    nbd_close(std::exchange(handle_, nullptr));
}

void Session::watch() {
    if (ended()) {
        socket_.reset();
        changed_.notify();
        return;
    }
    // While it connects it may go from one socket to the next, which can have the same number.
    if (!was_ready_) socket_.reset();
    if (ready() && !std::exchange(was_ready_, true)) changed_.notify();
    if (!socket_) {
        const int copy = ::fcntl(nbd_aio_get_fd(handle_), F_DUPFD_CLOEXEC, 0);
        if (copy < 0) return close();
        socket_.emplace(loop_, copy);
        reading_ = writing_ = false;
    }
    const unsigned direction = nbd_aio_get_direction(handle_);
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) wait_for(asio::posix::stream_descriptor::wait_read, reading_);
    if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) wait_for(asio::posix::stream_descriptor::wait_write, writing_);
}

void Session::wait_for(asio::posix::stream_descriptor::wait_type what, bool& waiting) {
    if (std::exchange(waiting, true)) return;
    socket_->async_wait(what, [session = shared_from_this(), what, &waiting](std::error_code error) {
        if (error == asio::error::operation_aborted || session->ended()) return;
        waiting = false;
        // What it waited for may not be wanted any more.
        const unsigned direction = nbd_aio_get_direction(session->handle_);
        if (what == asio::posix::stream_descriptor::wait_read) {
            if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) session->keep_reason(nbd_aio_notify_read(session->handle_));
        } else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) {
            session->keep_reason(nbd_aio_notify_write(session->handle_));
        }
        session->watch();
    });
}

}  // namespace asyncvm::block::nbd
