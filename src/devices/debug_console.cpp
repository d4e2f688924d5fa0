#include "devices/debug_console.hpp"

#include <array>
#include <span>
#include <utility>

namespace asyncvm {

DebugConsole::DebugConsole(std::shared_ptr<Chardev> output) : output_(std::move(output)) {}

awaitable<void> DebugConsole::write(const Access& access) {
    std::array<std::byte, 8> bytes{};
    for (unsigned i = 0; i < access.size; ++i) bytes[i] = static_cast<std::byte>(access.data >> (8 * i));
    const auto written = std::span<const std::byte>(bytes).first(access.size);
    co_await output_->write(written);
}

awaitable<void> DebugConsole::write_string(const Access&, std::span<const std::byte> data) {
    co_await output_->write(data);  // elements are little-endian: their bytes are in order already
}

awaitable<void> DebugConsole::read(Access& access) {
    access.data = 0xe9e9'e9e9'e9e9'e9e9 & all_ones(access.size);
    co_return;
}

}  // namespace asyncvm
