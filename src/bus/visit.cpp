#include "bus/visit.hpp"

namespace asyncvm {

awaitable<void> visit(Device& device, Access access, Transaction& transaction) {
    if (transaction.direction == Direction::write) {
        if (transaction.data.size() > access.size) {
            co_await device.write_string(access, transaction.data);
        } else {
            load_data(access, transaction);
            co_await device.write(access);
        }
    } else if (transaction.data.size() > access.size) {
        co_await device.read_string(access, transaction.data);
    } else {
        co_await device.read(access);
        store_data(access, transaction);
    }
}

}  // namespace asyncvm
