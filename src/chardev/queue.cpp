#include <chardev/queue.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "usdt/probes.hpp"

namespace asyncvm {

void Queue::add_listener(Event& event) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_.push_back(&event);
}

void Queue::remove_listener(Event& event) {
    const std::lock_guard lock(listeners_mutex_);
    std::erase(listeners_, &event);
}

void Queue::changed() {
    const std::lock_guard lock(listeners_mutex_);
    for (auto* const listener : listeners_) listener->notify();
}

bool Queue::refresh_writable() {
    const bool now = closed_ || log_.writable();
    const bool before = writable_.exchange(now, std::memory_order_acq_rel);
    if (observer_ && now != before && !closed_) observer_->chardev_full(label_, !now);
    return now != before;
}

std::size_t Queue::write_some(std::span<const std::byte> data) noexcept {
    if (data.empty()) return 0;
    std::size_t taken = 0;
    bool wake_client = false;
    bool wake_copy = false;
    {
        const std::lock_guard lock(mutex_);
        if (next_ != nullptr) return next_->write_some(data);
        if (closed_) return data.size();
        taken = log_.append(data);
        const bool full = refresh_writable();
        if (taken == 0) return 0;
        wake_client = std::exchange(client_waits_, false) || full;
        wake_copy = std::exchange(copy_waits_, false) || full;
    }
    if (observer_) observer_->chardev_moved(label_, Direction::write, taken);
    ASYNCVM_PROBE2(chardev_output, label_.data(), taken);
    if (wake_client) client_output_.notify();
    if (wake_copy) copy_output_.notify();
    return taken;
}

std::uint64_t Queue::room() const noexcept {
    const std::lock_guard lock(mutex_);
    return closed_ ? OutputLog::unlimited : log_.room();
}

std::size_t Queue::read_some(std::span<std::byte> data) noexcept {
    std::size_t taken = 0;
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        // One that comes between a device's take_break() and this stays.
        if (!knows_breaks_ && !breaks_.empty() && breaks_.front() == input_taken_) breaks_.pop_front();
        if (!breaks_.empty()) data = data.first(std::min<std::uint64_t>(data.size(), breaks_.front() - input_taken_));
        taken = std::min(data.size(), input_size_);
        for (std::size_t done = 0; done < taken;) {
            const auto part = std::min(taken - done, input_capacity - input_first_);
            std::copy_n(ring_.begin() + static_cast<std::ptrdiff_t>(input_first_), part, data.data() + done);
            input_first_ = (input_first_ + part) % input_capacity;
            done += part;
        }
        input_size_ -= taken;
        fill_ring_from_leftover();
        // Behind everything that others have sent before.
        if (source_state_ == SourceState::ready && taken < data.size() && input_size_ == 0) {
            taken += read_source(data.subspan(taken));
            wake = source_state_ != SourceState::ready;
        }
        input_taken_ += taken;
        update_readable();
        if (input_waits_ && input_size_ <= input_capacity / 2) wake = std::exchange(input_waits_, false) || wake;
    }
    if (observer_ && taken > 0) observer_->chardev_moved(label_, Direction::read, taken);
    if (taken > 0) ASYNCVM_PROBE2(chardev_input, label_.data(), taken);
    if (wake) input_.notify();
    return taken;
}

bool Queue::take_break() noexcept {
    const std::lock_guard lock(mutex_);
    knows_breaks_ = true;
    if (breaks_.empty() || breaks_.front() != input_taken_) return false;
    breaks_.pop_front();
    update_readable();
    return true;
}

void Queue::update_readable() {
    const bool now = input_size_ > 0 || !breaks_.empty() || source_state_ == SourceState::ready;
    readable_.store(now, std::memory_order_release);
}

std::size_t Queue::read_source(std::span<std::byte> data) {
    long got = 0;
    do got = source_(data);
    while (got == -EINTR);
    if (got > 0) return static_cast<std::size_t>(got);
    source_state_ = got == -EAGAIN ? SourceState::empty : SourceState::none;
    return 0;
}

void Queue::set_source(Source source) {
    {
        const std::lock_guard lock(mutex_);
        if (closed_) return;
        source_ = std::move(source);
        source_state_ = SourceState::ready;
        update_readable();
    }
    changed();
}

void Queue::remove_source() {
    const std::lock_guard lock(mutex_);
    source_ = nullptr;
    source_state_ = SourceState::none;
    update_readable();
}

Queue::SourceState Queue::source_state() const {
    const std::lock_guard lock(mutex_);
    return source_state_;
}

void Queue::source_refilled() {
    {
        const std::lock_guard lock(mutex_);
        if (source_state_ != SourceState::empty) return;
        source_state_ = SourceState::ready;
        ++heard_;
        update_readable();
    }
    changed();
}

void Queue::next(Reader reader, std::size_t limit, OutputLog::Batch& batch) {
    const std::lock_guard lock(mutex_);
    log_.next(reader, limit, batch);
}

bool Queue::arm(Reader reader) {
    const std::lock_guard lock(mutex_);
    const bool idle = log_.position(reader) >= log_.end();
    (reader == Reader::client ? client_waits_ : copy_waits_) = idle;
    return idle;
}

std::uint64_t Queue::position(Reader reader) const {
    const std::lock_guard lock(mutex_);
    return log_.position(reader);
}

void Queue::take(Reader reader, std::uint64_t position) {
    bool tell = false;
    {
        const std::lock_guard lock(mutex_);
        log_.take(reader, position);
        tell = refresh_writable();
    }
    if (tell) changed();
}

void Queue::deliver(std::uint64_t position) {
    bool tell = false;
    {
        const std::lock_guard lock(mutex_);
        log_.deliver(position);
        tell = refresh_writable();
    }
    if (tell) changed();
}

std::uint64_t Queue::rewind() {
    const std::lock_guard lock(mutex_);
    return log_.rewind();
}

void Queue::abandon_client() {
    bool tell = false;
    {
        const std::lock_guard lock(mutex_);
        log_.abandon_client();
        tell = refresh_writable();
    }
    if (tell) changed();
}

void Queue::undeliver(std::uint64_t count) {
    const std::lock_guard lock(mutex_);
    log_.undeliver(count);
}

void Queue::reconfigure(OutputLog::Options options) {
    {
        const std::lock_guard lock(mutex_);
        next_ = nullptr;
        log_.reconfigure(options);
        refresh_writable();
    }
    changed();
    wake();
}

void Queue::wake() {
    client_output_.notify();
    copy_output_.notify();
    input_.notify();
}

void Queue::move_output_to(Queue& next) {
    {
        const std::scoped_lock lock(mutex_, next.mutex_);
        next.log_.adopt(log_);
        next.refresh_writable();
        refresh_writable();
        next_ = &next;
    }
    next.changed();
    next.wake();
}

void Queue::move_input_to(Queue& next) {
    {
        const std::scoped_lock lock(mutex_, next.mutex_);
        const auto behind = next.input_taken_ + next.input_size_ + next.leftover_.size() - next.leftover_first_;
        for (const auto at : breaks_) next.breaks_.push_back(behind + at - input_taken_);
        while (input_size_ > 0) {
            const auto part = std::span(ring_).subspan(input_first_, std::min(input_size_, input_capacity - input_first_));
            next.leftover_.insert(next.leftover_.end(), part.begin(), part.end());
            input_first_ = (input_first_ + part.size()) % input_capacity;
            input_size_ -= part.size();
            fill_ring_from_leftover();
        }
        next.fill_ring_from_leftover();
        breaks_.clear();
        next.knows_breaks_ = knows_breaks_;
        ring_ = {};
        input_first_ = 0;
        update_readable();
        next.update_readable();
    }
    next.changed();
}

std::uint64_t Queue::end() const {
    const std::lock_guard lock(mutex_);
    return log_.end();
}

std::uint64_t Queue::input_taken() const {
    const std::lock_guard lock(mutex_);
    return input_taken_;
}

std::uint64_t Queue::heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
}

std::uint64_t Queue::delivered() const {
    const std::lock_guard lock(mutex_);
    return log_.delivered();
}

std::uint64_t Queue::undelivered(Reader reader) const {
    const std::lock_guard lock(mutex_);
    return log_.undelivered(reader);
}

std::uint64_t Queue::lost() const {
    const std::lock_guard lock(mutex_);
    return log_.lost();
}

std::size_t Queue::memory() const {
    const std::lock_guard lock(mutex_);
    return log_.memory();
}

std::size_t Queue::input_room() {
    const std::lock_guard lock(mutex_);
    const auto room = leftover_.empty() ? input_capacity - input_size_ : 0;
    input_waits_ = room == 0;
    return room;
}

std::size_t Queue::fill_ring(std::span<const std::byte> data) {
    if (ring_.empty()) ring_.resize(input_capacity);
    const auto taken = data.first(std::min(data.size(), input_capacity - input_size_));
    for (const auto byte : taken) {
        ring_[(input_first_ + input_size_) % input_capacity] = byte;
        ++input_size_;
    }
    return taken.size();
}

void Queue::fill_ring_from_leftover() {
    if (leftover_.empty()) return;
    leftover_first_ += fill_ring(std::span(leftover_).subspan(leftover_first_));
    if (leftover_first_ < leftover_.size()) return;
    leftover_ = {};
    leftover_first_ = 0;
}

void Queue::push_input(std::span<const std::byte> data) {
    if (data.empty()) return;
    bool tell = false;
    {
        const std::lock_guard lock(mutex_);
        if (closed_) return;
        tell = input_size_ == 0;
        ++heard_;
        fill_ring(data);
        update_readable();
    }
    if (tell) changed();
}

std::size_t Queue::push_leftover(std::span<const std::byte> data) {
    if (data.empty()) return 0;
    bool tell = false;
    std::size_t taken = 0;
    {
        const std::lock_guard lock(mutex_);
        if (closed_) return data.size();
        tell = input_size_ == 0;
        if (leftover_.empty()) taken = fill_ring(data);
        const auto rest = data.subspan(taken);
        const auto kept = rest.first(std::min(rest.size(), leftover_capacity - (leftover_.size() - leftover_first_)));
        leftover_.insert(leftover_.end(), kept.begin(), kept.end());
        taken += kept.size();
        update_readable();
    }
    if (tell) changed();
    return taken;
}

void Queue::push_break() {
    constexpr std::size_t most = 64;
    {
        const std::lock_guard lock(mutex_);
        if (closed_ || breaks_.size() == most) return;
        ++heard_;
        breaks_.push_back(input_taken_ + input_size_ + leftover_.size() - leftover_first_);
        update_readable();
    }
    changed();
}

void Queue::set_terminal_size(TerminalSize size) {
    if (terminal_size_.exchange(size, std::memory_order_acq_rel) != size) changed();
}

void Queue::set_connected(bool connected) {
    if (connected_.exchange(connected, std::memory_order_acq_rel) != connected) changed();
}

void Queue::close() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        refresh_writable();
    }
    connected_.store(false, std::memory_order_release);
    changed();
    wake();
}

}  // namespace asyncvm
