#include <asyncvm/chardev.hpp>

namespace asyncvm {

awaitable<void> Chardev::write(std::span<const std::byte> data) {
    for (;;) {
        const auto seen = changed_.generation();
        data = data.subspan(write_some(data));
        if (data.empty()) break;
        co_await changed_.wait(seen);
    }
}

}  // namespace asyncvm
