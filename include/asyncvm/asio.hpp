/// Everything of Asio that the project uses, under one roof, so that a change of Asio's names touches this file alone.
/// Works with Asio 1.22.1 (Debian 12) and later; nothing from asio::experimental is used.
#pragma once

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
