/// Everything of Asio that the project uses, under one roof, so that a change of Asio's names touches this file alone.
/// Works with Asio 1.22.1 (Debian 12) and later; nothing from asio::experimental is used.
#pragma once

#include <asyncvm/cpp20.hpp>

// The library was compiled with these; a program that was not gets objects of another size, and crashes. The pkg-config file
// and Meson's dependency('asyncvm') have them.
#ifndef ASIO_STANDALONE
#error "asyncvm: compile with -DASIO_STANDALONE (pkg-config --cflags asyncvm says what else)"
#endif
#ifndef ASIO_NO_DEPRECATED
#error "asyncvm: compile with -DASIO_NO_DEPRECATED (pkg-config --cflags asyncvm says what else)"
#endif
#ifndef ASIO_SEPARATE_COMPILATION
#error "asyncvm: compile with -DASIO_SEPARATE_COMPILATION (pkg-config --cflags asyncvm says what else)"
#endif
#if !defined(ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE) || ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE != 8
#error "asyncvm: compile with -DASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=8 (pkg-config --cflags asyncvm says what else)"
#endif
#ifndef ASIO_HAS_CO_AWAIT
#error "asyncvm: compile with -DASIO_HAS_CO_AWAIT (pkg-config --cflags asyncvm says what else)"
#endif
#ifndef ASIO_HAS_STD_COROUTINE
#error "asyncvm: compile with -DASIO_HAS_STD_COROUTINE (pkg-config --cflags asyncvm says what else)"
#endif
#ifndef ASIO_HAS_STD_ALIGNED_ALLOC
#error "asyncvm: compile with -DASIO_HAS_STD_ALIGNED_ALLOC=1 (pkg-config --cflags asyncvm says what else)"
#endif
#if defined(ASIO_DISABLE_THREADS) || defined(ASIO_DISABLE_EPOLL) || defined(ASIO_DISABLE_EVENTFD) ||        \
    defined(ASIO_DISABLE_TIMERFD) || defined(ASIO_HAS_IO_URING) || defined(ASIO_ENABLE_HANDLER_TRACKING) || \
    defined(ASIO_CUSTOM_HANDLER_TRACKING)
#error "asyncvm: the library was compiled without ASIO_DISABLE_*, ASIO_HAS_IO_URING and handler tracking"
#endif

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>

namespace asyncvm {

/// What a coroutine of this project returns.
template <typename T>
using awaitable = asio::awaitable<T>;

using asio::use_awaitable;

}  // namespace asyncvm
