/// The counter port: the smallest device that a guest can see both ways.
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view counter_name = "counter";

struct CounterRegisters {
    static constexpr unsigned state_version = 1;
    std::uint64_t next = 0;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("next", next);
    }
};

template <std::size_t capacity>
class CounterText {
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
class CounterLines {
public:
    explicit CounterLines(const Access& access) noexcept {
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
    CounterText<longest> beginning_;
    CounterText<512> lines_;
};

/// OUT prints `out port: 16, data: 7` and a newline, the numbers unsigned and in decimal; in memory `out address: ...`.
/// IN answers 0, 1, 2, ..., each cut to the width of the access.
class Counter final : public Device {
public:
    explicit Counter(std::shared_ptr<Chardev> output) : output_(std::move(output)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return counter_name; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        CounterLines lines(access);
        lines.add(access.data);
        co_await output_->write(lines.take());
    }

    [[nodiscard]] awaitable<void> write_string(const Access& first, std::span<const std::byte> data) override {
        CounterLines lines(first);
        for (std::size_t at = 0; at + first.size <= data.size(); at += first.size) {
            std::uint64_t element = 0;
            std::memcpy(&element, data.data() + at, first.size);
            lines.add(element);
            if (lines.full()) co_await output_->write(lines.take());
        }
        if (!lines.empty()) co_await output_->write(lines.take());
    }

    [[nodiscard]] bool posts(std::uint64_t) const noexcept override { return room_to_post(*output_); }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = registers_.next++ & all_ones(access.size);
        co_return;
    }

    void reset() override { registers_ = {}; }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    const std::shared_ptr<Chardev> output_;
    CounterRegisters registers_;
};

constexpr std::array counter_keys{
    DeviceKey{"chardev", "SPEC", "where its output goes, as for --serial (default stdio; ,, for a comma)"},
};
constexpr std::array counter_ports{whole_port(0x10)};

}  // namespace

std::shared_ptr<Device> make_counter(std::shared_ptr<Chardev> output) {
    return std::make_shared<Counter>(std::move(output));
}

constinit const DeviceKind counter_kind{
    .name = counter_name,
    .help = "prints what is written, counts what is read",
    .keys = counter_keys,
    .ports = counter_ports,
    .size = 8,
    .by_default = true,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        return make_counter(open_output(options, host));
    },
};

}  // namespace asyncvm
