/// A chardev in memory, for the tests of devices: the test is the peer.
#pragma once

#include <asyncvm/chardev.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace asyncvm {

class FakeChardev : public Chardev {
public:
    /// `capacity`: how many bytes of output wait for take() at most.
    explicit FakeChardev(std::size_t capacity = 4096, bool connected = true) : capacity_(capacity), connected_(connected) {}

    // The device's side.

    std::size_t write_some(std::span<const std::byte> data) noexcept override {
        const std::lock_guard lock(mutex_);
        ++write_calls_;
        if (full_) return 0;
        const std::size_t taken = std::min(data.size(), capacity_ - output_.size());
        for (const std::byte byte : data.first(taken)) output_.push_back(static_cast<char>(byte));
        full_ = output_.size() == capacity_;
        low_ = capacity_ - output_.size() < (capacity_ < 32 ? 1 : 16);
        return taken;
    }

    [[nodiscard]] bool writable() const noexcept override {
        const std::lock_guard lock(mutex_);
        return !low_;
    }

    [[nodiscard]] std::uint64_t room() const noexcept override {
        const std::lock_guard lock(mutex_);
        return full_ ? 0 : capacity_ - output_.size();
    }

    std::size_t read_some(std::span<std::byte> data) noexcept override {
        const std::lock_guard lock(mutex_);
        if (!knows_breaks_ && !breaks_.empty() && breaks_.front() == taken_) breaks_.pop_front();
        std::size_t limit = input_.size();
        if (!breaks_.empty()) limit = breaks_.front() - taken_;
        const std::size_t taken = std::min(data.size(), limit);
        taken_ += taken;
        for (std::size_t i = 0; i < taken; ++i) data[i] = static_cast<std::byte>(input_[i]);
        input_.erase(0, taken);
        return taken;
    }

    void give_back(std::size_t count) noexcept override {
        const std::lock_guard lock(mutex_);
        given_back_ += count;
    }

    bool take_break() noexcept override {
        const std::lock_guard lock(mutex_);
        knows_breaks_ = true;
        if (breaks_.empty() || breaks_.front() != taken_) return false;
        breaks_.pop_front();
        return true;
    }

    [[nodiscard]] bool readable() const noexcept override {
        const std::lock_guard lock(mutex_);
        return !input_.empty() || !breaks_.empty();
    }

    [[nodiscard]] bool connected() const noexcept override {
        const std::lock_guard lock(mutex_);
        return connected_;
    }

    [[nodiscard]] TerminalSize terminal_size() const noexcept override {
        const std::lock_guard lock(mutex_);
        return terminal_size_;
    }

    [[nodiscard]] awaitable<void> ready() override { co_return; }
    [[nodiscard]] awaitable<std::uint64_t> drain() override { co_return 0; }
    void close() noexcept override {}
    [[nodiscard]] std::string description() const override { return "fake"; }

    // The test's side. Any thread.

    /// The peer reads up to `limit` bytes of output. A queue that was full has room again once half of it is free.
    std::string take(std::size_t limit = std::string::npos) {
        std::string taken;
        bool has_room_again = false;
        {
            const std::lock_guard lock(mutex_);
            taken = output_.substr(0, limit);
            output_.erase(0, taken.size());
            has_room_again = low_ && output_.size() <= capacity_ / 2;
            if (has_room_again) full_ = low_ = false;
        }
        if (has_room_again) changed().notify();
        return taken;
    }

    /// The peer sends input.
    void type(std::string_view input) {
        {
            const std::lock_guard lock(mutex_);
            input_ += input;
        }
        changed().notify();
    }

    /// The peer sends a BREAK.
    void send_break() override {
        {
            const std::lock_guard lock(mutex_);
            breaks_.push_back(taken_ + input_.size());
        }
        changed().notify();
    }

    void set_connected(bool connected) {
        {
            const std::lock_guard lock(mutex_);
            connected_ = connected;
        }
        changed().notify();
    }

    void set_terminal_size(TerminalSize size) {
        {
            const std::lock_guard lock(mutex_);
            terminal_size_ = size;
        }
        changed().notify();
    }

    /// Input that the device has not taken yet.
    [[nodiscard]] std::size_t unread() const {
        const std::lock_guard lock(mutex_);
        return input_.size();
    }

    [[nodiscard]] std::string unread_text() const {
        const std::lock_guard lock(mutex_);
        return input_;
    }

    [[nodiscard]] std::size_t given_back() const {
        const std::lock_guard lock(mutex_);
        return given_back_;
    }

    /// How often the device has called write_some().
    [[nodiscard]] std::size_t write_calls() const {
        const std::lock_guard lock(mutex_);
        return write_calls_;
    }

private:
    mutable std::mutex mutex_;
    const std::size_t capacity_;
    bool connected_;
    TerminalSize terminal_size_;
    bool full_ = false;
    bool low_ = false;
    std::string output_;
    std::string input_;
    std::size_t taken_ = 0;
    std::size_t given_back_ = 0;
    std::deque<std::size_t> breaks_;  ///< where in the input, by taken_
    bool knows_breaks_ = false;
    std::size_t write_calls_ = 0;
};

}  // namespace asyncvm
