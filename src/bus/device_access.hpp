/// A transaction, as a device sees it.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>

#include <cstring>

namespace asyncvm {

// x86 is little-endian, guest and host alike: the data's bytes are the access's low bytes.

/// What the guest has written, into an access that has no data yet.
inline void load_data(Access& access, const Transaction& transaction) noexcept {
    std::memcpy(&access.data, transaction.data.data(), access.size);
}

/// What the device has answered, to the guest.
inline void store_data(const Access& access, Transaction& transaction) noexcept {
    std::memcpy(transaction.data.data(), &access.data, access.size);
}

/// The coroutine of the device for a single access, which has no data yet. After a read store_data() is due.
[[nodiscard]] inline awaitable<void> answer(Device& device, Access& access, const Transaction& transaction) {
    if (transaction.direction == Direction::read) return device.read(access);
    load_data(access, transaction);
    return device.write(access);
}

/// One transaction on one device, on the current executor: a single access or a string. `access` has everything but its
/// data.
[[nodiscard]] awaitable<void> access_device(Device& device, Access access, Transaction& transaction);

}  // namespace asyncvm
