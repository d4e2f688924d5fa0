#include "devices/counter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace asyncvm {

namespace {

template <std::size_t capacity>
class Text {
public:
    void add(std::string_view words) noexcept {
        std::copy(words.begin(), words.end(), text_.data() + size_);
        size_ += words.size();
    }
    void add(const fmt::format_int& number) noexcept { add({number.data(), number.size()}); }
    void clear() noexcept { size_ = 0; }
    [[nodiscard]] std::size_t room() const noexcept { return capacity - size_; }
    [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

private:
    std::array<char, capacity> text_;
    std::size_t size_ = 0;
};

/// The lines of writes to one place. Put together from pieces, which is quicker than a format string.
class Lines {
public:
    explicit Lines(const Access& access) noexcept {
        beginning_.add(access.space == Space::port ? "out port: " : "out address: ");
        beginning_.add(fmt::format_int(access.address));
        beginning_.add(", data: ");
    }

    /// Not when it is full.
    void add(std::uint64_t data) noexcept {
        lines_.add(beginning_.view());
        lines_.add(fmt::format_int(data));
        lines_.add("\n");
    }

    [[nodiscard]] bool full() const noexcept { return lines_.room() < longest; }
    [[nodiscard]] bool empty() const noexcept { return lines_.view().empty(); }

    /// What has been added since the last time; until the next add().
    [[nodiscard]] std::span<const std::byte> take() noexcept {
        const auto text = lines_.view();
        lines_.clear();
        return std::as_bytes(std::span(text));
    }

private:
    static constexpr std::size_t longest = 62;  // "out address: ", two numbers of 20 digits, ", data: " and the newline
    Text<longest> beginning_;
    Text<512> lines_;
};

}  // namespace

Counter::Counter(std::shared_ptr<Chardev> output) : output_(std::move(output)) {}

awaitable<void> Counter::write(const Access& access) {
    Lines lines(access);
    lines.add(access.data);
    co_await output_->write(lines.take());
}

awaitable<void> Counter::write_string(const Access& first, std::span<const std::byte> data) {
    Lines lines(first);
    for (std::size_t at = 0; at + first.size <= data.size(); at += first.size) {
        std::uint64_t element = 0;
        std::memcpy(&element, data.data() + at, first.size);
        lines.add(element);
        if (lines.full()) co_await output_->write(lines.take());
    }
    if (!lines.empty()) co_await output_->write(lines.take());
}

awaitable<void> Counter::read(Access& access) {
    access.data = next_++ & all_ones(access.size);
    co_return;
}

}  // namespace asyncvm
