/// An access to a device that runs on the device loop, made from a vCPU's executor.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>

#include <memory>

namespace asyncvm {

/// Carries `transaction` out on `device_loop` and suspends the calling coroutine until it is answered. The device works on
/// copies: when the caller is cancelled, so is the access, and an answer that comes later is discarded.
[[nodiscard]] awaitable<void> visit_on_loop(asio::io_context& device_loop, std::shared_ptr<Device> device, Access access,
                                            Transaction& transaction);

/// One transaction on one device, on the current executor: a single access or a string. `access` has everything but its
/// data.
[[nodiscard]] awaitable<void> visit(Device& device, Access access, Transaction& transaction);

}  // namespace asyncvm
