#include "bus/device_access.hpp"

namespace asyncvm {

awaitable<void> access_device(Device& device, Access access, Transaction& transaction) {
    const bool string = transaction.data.size() > access.size;
    if (!string) {
        co_await answer(device, access, transaction);
        if (transaction.direction == Direction::read) store_data(access, transaction);
    } else if (transaction.direction == Direction::write) {
        co_await device.write_string(access, transaction.data);
    } else {
        co_await device.read_string(access, transaction.data);
    }
}

}  // namespace asyncvm
