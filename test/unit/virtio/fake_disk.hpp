/// A disk in memory that fails, or takes its time, as a test wants it.
#pragma once

#include <asyncvm/block.hpp>
#include <asyncvm/event.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::test {

class FakeDisk final : public BlockBackend {
public:
    explicit FakeDisk(std::size_t size = 64 << 10, bool read_only = false) : bytes(size) {
        properties_.size = size;
        properties_.read_only = read_only;
    }

    [[nodiscard]] const BlockProperties& properties() const noexcept override { return properties_; }
    /// For requests that do not touch the bytes.
    void set_size(std::uint64_t size) { properties_.size = size; }
    void set_block_size(std::uint32_t size) { properties_.block_size = size; }

    [[nodiscard]] awaitable<std::error_code> read(std::uint64_t offset, ReadSpans to) override {
        calls.emplace_back("read");
        if (on_read) on_read();
        co_await turn();
        for (const auto& span : to) {
            std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), span.size(), span.begin());
            offset += span.size();
        }
        co_return error;
    }
    [[nodiscard]] awaitable<std::error_code> write(std::uint64_t offset, WriteSpans from) override {
        calls.emplace_back("write");
        co_await turn();
        if (error) co_return error;
        for (const auto& span : from) {
            std::ranges::copy(span, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
            offset += span.size();
        }
        co_return error;
    }
    [[nodiscard]] awaitable<std::error_code> flush() override {
        calls.emplace_back("flush");
        co_await turn();
        co_return flush_error ? flush_error : error;
    }
    [[nodiscard]] awaitable<std::error_code> discard(std::uint64_t offset, std::uint64_t size) override {
        calls.push_back("discard " + std::to_string(offset) + " " + std::to_string(size));
        co_return error;
    }
    [[nodiscard]] awaitable<std::error_code> write_zeroes(std::uint64_t offset, std::uint64_t size,
                                                          bool may_unmap) override {
        calls.push_back("zero " + std::to_string(offset) + " " + std::to_string(size) + (may_unmap ? " unmap" : ""));
        co_return error;
    }

    [[nodiscard]] awaitable<void> resize(std::uint64_t size) override {
        calls.push_back("resize " + std::to_string(size));
        bytes.resize(size);
        become(size);
        co_return;
    }
    [[nodiscard]] Event* changed() noexcept override { return &changed_; }
    /// As set_size(), and whoever waits for it hears of it.
    void become(std::uint64_t size) {
        properties_.size = size;
        changed_.notify();
    }

    /// From now on requests wait for a release.
    void hold() { held_ = true; }
    /// `count` of those that wait go on, the youngest first.
    void release(std::size_t count) {
        for (; count > 0 && !waiting_.empty(); --count) {
            waiting_.back()->complete();
            waiting_.pop_back();
        }
    }
    void release() {
        held_ = false;
        for (const auto& shot : std::exchange(waiting_, {})) shot->complete();
    }

    std::vector<std::byte> bytes;
    std::vector<std::string> calls;
    std::error_code error;
    std::error_code flush_error;
    std::function<void()> on_read;
    unsigned under_way = 0;
    unsigned most_under_way = 0;

private:
    /// A cancellation does not end the wait: it is that of a transfer.
    awaitable<void> turn() {
        most_under_way = std::max(most_under_way, ++under_way);
        if (held_) {
            const auto shot = std::make_shared<OneShot>();
            waiting_.push_back(shot);
            co_await shot->wait_to_end();
        }
        --under_way;
    }

    BlockProperties properties_;
    Event changed_;
    bool held_ = false;
    std::vector<std::shared_ptr<OneShot>> waiting_;
};

}  // namespace asyncvm::test
