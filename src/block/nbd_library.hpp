/// libnbd's functions, from a library that is loaded for the first disk on an NBD server.
#pragma once

#include <libnbd.h>

/// The functions of libnbd that asyncvm calls.
#define ASYNCVM_NBD_FUNCTIONS(F) \
    F(nbd_aio_connect_uri)       \
    F(nbd_aio_flush)             \
    F(nbd_aio_get_direction)     \
    F(nbd_aio_get_fd)            \
    F(nbd_aio_is_closed)         \
    F(nbd_aio_is_dead)           \
    F(nbd_aio_is_ready)          \
    F(nbd_aio_is_processing)     \
    F(nbd_aio_notify_read)       \
    F(nbd_aio_notify_write)      \
    F(nbd_aio_pread)             \
    F(nbd_aio_pwrite)            \
    F(nbd_aio_trim)              \
    F(nbd_aio_zero)              \
    F(nbd_can_flush)             \
    F(nbd_can_trim)              \
    F(nbd_can_zero)              \
    F(nbd_close)                 \
    F(nbd_connect_uri)           \
    F(nbd_create)                \
    F(nbd_get_block_size)        \
    F(nbd_get_error)             \
    F(nbd_get_size)              \
    F(nbd_is_read_only)

namespace asyncvm::block::nbd {

/// The names of the functions mean pointers in this namespace.
#define ASYNCVM_DECLARE(name) extern decltype(&::name) name;
ASYNCVM_NBD_FUNCTIONS(ASYNCVM_DECLARE)
#undef ASYNCVM_DECLARE

/// Fills the pointers in. Once; any thread. Throws Error(host), and tries again when it is called again.
void load_library();

}  // namespace asyncvm::block::nbd
