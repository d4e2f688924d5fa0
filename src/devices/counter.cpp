#include "devices/counter.hpp"

#include <fmt/format.h>

#include <array>
#include <span>
#include <utility>

namespace asyncvm {

Counter::Counter(std::shared_ptr<Chardev> output) : output_(std::move(output)) {}

awaitable<void> Counter::write(const Access& access) {
    std::array<char, 64> line{};  // the longest line has 62 characters
    const char* const place = access.space == Space::port ? "port" : "address";
    const auto end =
        fmt::format_to_n(line.data(), line.size(), "out {}: {}, data: {}\n", place, access.address, access.data);
    const auto bytes = std::as_bytes(std::span(line).first(end.size));
    co_await output_->write(bytes);
}

awaitable<void> Counter::read(Access& access) {
    access.data = next_++ & all_ones(access.size);
    co_return;
}

}  // namespace asyncvm
