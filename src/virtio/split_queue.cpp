#include "virtio/split_queue.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace asyncvm::virtio {

namespace {

// Flags of a descriptor (2.7.5) and of the rings (2.7.6, 2.7.8).
constexpr std::uint16_t has_next = 1;
constexpr std::uint16_t device_writes = 2;
constexpr std::uint16_t is_indirect = 4;
constexpr std::uint16_t no_interrupt = 1;
constexpr std::uint16_t no_notify = 1;
constexpr std::size_t descriptor_size = 16;
// Both rings begin with flags and an index; the entries follow, then the event index of the other side.
constexpr std::size_t ring_index = 2;
constexpr std::size_t ring_entries = 4;
constexpr std::size_t used_entry_size = 8;
constexpr std::size_t most_spare = 64;  ///< chains that are kept for their vectors

/// A place that the guest may change at any time. `offset` is a multiple of the size, as is the address of `bytes`.
template <typename T>
std::atomic_ref<T> shared(std::span<std::byte> bytes, std::size_t offset) noexcept {
    return std::atomic_ref<T>(*reinterpret_cast<T*>(bytes.data() + offset));
}

}  // namespace

struct SplitQueue::Descriptor {
    std::uint64_t address = 0;
    std::uint32_t length = 0;
    std::uint16_t flags = 0;
    std::uint16_t next = 0;

    /// A copy, which the guest can't change.
    static Descriptor load(std::span<const std::byte> table, std::size_t index) noexcept {
        Descriptor copy;
        static_assert(sizeof copy == descriptor_size);
        std::memcpy(&copy, table.data() + index * descriptor_size, descriptor_size);
        return copy;
    }
};

SplitQueue::SplitQueue(GuestMemory& memory, const Setup& setup) : memory_(memory), setup_(setup) {
    mistake_ = find();
    if (mistake_ != Mistake::none) return;
    under_way_.resize(setup.size);
    spare_.reserve(std::min<std::size_t>(setup.size, most_spare));
}

/// Where the parts of the queue are in host memory.
Mistake SplitQueue::find() noexcept {
    if (!std::has_single_bit(setup_.size) || setup_.size > largest_size) return Mistake::queue_size;
    if (setup_.descriptors % 16 != 0 || setup_.available % 2 != 0 || setup_.used % 4 != 0) return Mistake::queue_alignment;
    const std::size_t size = setup_.size;
    descriptors_ = memory_.try_at(setup_.descriptors, size * descriptor_size);
    available_ = memory_.try_at(setup_.available, ring_entries + size * 2 + 2);
    used_ = memory_.try_at(setup_.used, ring_entries + size * used_entry_size + 2);
    const bool found = !descriptors_.empty() && !available_.empty() && !used_.empty();
    return found ? Mistake::none : Mistake::queue_address;
}

void SplitQueue::fail(Mistake mistake) noexcept {
    if (mistake_ == Mistake::none) mistake_ = mistake;
}

std::uint16_t SplitQueue::available_index() const noexcept {
    return shared<std::uint16_t>(available_, ring_index).load(std::memory_order_acquire);
}

bool SplitQueue::has_more() const noexcept {
    return mistake_ == Mistake::none && (!again_.empty() || available_index() != next_available_);
}

bool SplitQueue::is_idle() const noexcept {
    return !has_more() && std::ranges::all_of(under_way_, [](std::uint64_t chain) { return chain == 0; });
}

std::optional<std::uint16_t> SplitQueue::next_head() noexcept {
    if (mistake_ != Mistake::none) return std::nullopt;
    if (!again_.empty()) {
        const std::uint16_t head = again_.back();
        again_.pop_back();
        return head;
    }
    const auto waiting = static_cast<std::uint16_t>(available_index() - next_available_);
    if (waiting == 0) return std::nullopt;
    if (waiting > setup_.size) {
        fail(Mistake::available_index);
        return std::nullopt;
    }
    const std::size_t entry = ring_entries + std::size_t{2} * (next_available_ % setup_.size);
    const auto head = shared<std::uint16_t>(available_, entry).load(std::memory_order_relaxed);
    if (head >= setup_.size)
        fail(Mistake::head);
    else if (under_way_[head] != 0)
        fail(Mistake::head_in_use);
    if (mistake_ != Mistake::none) return std::nullopt;
    ++next_available_;
    return head;
}

std::optional<Chain> SplitQueue::pop() {
    const auto head = next_head();
    if (!head) return std::nullopt;
    Chain chain = empty_chain();
    if (const Mistake mistake = collect(chain, *head); mistake != Mistake::none) {
        chain.clear();
        fail(mistake);
        return std::nullopt;
    }
    chain.memory_ = &memory_;
    chain.head_ = *head;
    under_way_[*head] = ++taken_;
    return chain;
}

Mistake SplitQueue::collect(Chain& chain, std::uint16_t head) const {
    std::span<const std::byte> table = descriptors_;
    std::size_t entries = setup_.size;
    std::size_t left = entries;
    std::size_t at = head;
    bool in_indirect = false;
    for (;;) {
        if (left-- == 0) return Mistake::loop;
        const Descriptor descriptor = Descriptor::load(table, at);
        if ((descriptor.flags & is_indirect) != 0) {
            if (in_indirect) return Mistake::indirect_in_indirect;
            if (!setup_.indirect) return Mistake::indirect_not_negotiated;
            if ((descriptor.flags & has_next) != 0) return Mistake::indirect_with_next;
            if (descriptor.length == 0 || descriptor.length % descriptor_size != 0) return Mistake::indirect_size;
            table = memory_.try_at(descriptor.address, descriptor.length);
            if (table.empty()) return Mistake::indirect_address;
            in_indirect = true;
            entries = descriptor.length / descriptor_size;
            left = std::min<std::size_t>(entries, longest_chain);
            at = 0;
            continue;
        }
        if (const Mistake mistake = add_buffer(chain, descriptor); mistake != Mistake::none) return mistake;
        if ((descriptor.flags & has_next) == 0) return Mistake::none;
        if (descriptor.next >= entries) return Mistake::next;
        at = descriptor.next;
    }
}

Mistake SplitQueue::add_buffer(Chain& chain, const Descriptor& descriptor) const {
    if (descriptor.length == 0) return Mistake::empty_buffer;
    const auto bytes = memory_.try_at(descriptor.address, descriptor.length);
    if (bytes.empty()) return Mistake::buffer_address;
    if ((descriptor.flags & device_writes) != 0) {
        chain.writable_.push_back(bytes);
        chain.addresses_.push_back(descriptor.address);
        chain.writable_size_ += descriptor.length;
    } else {
        if (!chain.writable_.empty()) return Mistake::buffer_order;
        chain.readable_.push_back(bytes);
        chain.readable_size_ += descriptor.length;
    }
    const bool fits = chain.readable_size_ + chain.writable_size_ <= std::numeric_limits<std::uint32_t>::max();
    return fits ? Mistake::none : Mistake::too_large;
}

Chain SplitQueue::empty_chain() {
    Chain chain;
    if (spare_.empty()) return chain;
    chain = std::move(spare_.back());
    spare_.pop_back();
    return chain;
}

void SplitQueue::push(Chain chain, std::uint64_t written) noexcept {
    if (chain.memory_ == nullptr || used_.empty()) return;
    const std::uint16_t head = chain.head_;
    const auto length = static_cast<std::uint32_t>(std::min(written, chain.writable_size_));
    // What was written is known as such before the driver can see that it is there.
    chain.clear();
    const std::size_t entry = ring_entries + used_entry_size * (next_used_ % setup_.size);
    shared<std::uint32_t>(used_, entry).store(head, std::memory_order_relaxed);
    shared<std::uint32_t>(used_, entry + 4).store(length, std::memory_order_relaxed);
    memory_.mark_dirty(setup_.used + entry, used_entry_size);
    ++next_used_;
    write_used(ring_index, next_used_);
    under_way_[head] = 0;
    if (spare_.size() < most_spare) spare_.push_back(std::move(chain));
}

void SplitQueue::write_used(std::size_t offset, std::uint16_t value) noexcept {
    shared<std::uint16_t>(used_, offset).store(value, std::memory_order_release);
    memory_.mark_dirty(setup_.used + offset, sizeof value);
}

bool SplitQueue::ask_for_notification() noexcept {
    if (mistake_ != Mistake::none) return true;
    if (setup_.event_index) {
        write_used(ring_entries + used_entry_size * setup_.size, next_available_);
    } else {
        write_used(0, 0);
    }
    // The driver writes its index, then looks whether to notify; here it is the other way round.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return !has_more();
}

void SplitQueue::decline_notification() noexcept {
    // With event indices nothing need be said: the driver has passed the one that it was given.
    if (mistake_ == Mistake::none && !setup_.event_index) write_used(0, no_notify);
}

bool SplitQueue::interrupt_due() noexcept {
    if (next_used_ == signalled_ || used_.empty()) return false;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const auto since = static_cast<std::uint16_t>(next_used_ - signalled_);
    signalled_ = next_used_;
    if (!setup_.event_index) {
        return (shared<std::uint16_t>(available_, 0).load(std::memory_order_relaxed) & no_interrupt) == 0;
    }
    const std::size_t offset = ring_entries + std::size_t{2} * setup_.size;
    const auto wanted = shared<std::uint16_t>(available_, offset).load(std::memory_order_relaxed);
    if (!std::exchange(has_signalled_, true)) return true;
    return static_cast<std::uint16_t>(next_used_ - wanted - 1) < since;
}

SplitQueue::Position SplitQueue::position() const {
    Position position{.next_available = next_available_,
                      .next_used = next_used_,
                      .signalled = signalled_,
                      .has_signalled = has_signalled_};
    for (std::size_t head = 0; head < under_way_.size(); ++head) {
        if (under_way_[head] != 0) position.under_way.push_back(static_cast<std::uint16_t>(head));
    }
    std::ranges::sort(position.under_way, {}, [this](std::uint16_t head) { return under_way_[head]; });
    position.under_way.insert(position.under_way.end(), again_.rbegin(), again_.rend());
    return position;
}

void SplitQueue::go_on_from(const Position& position) {
    next_available_ = position.next_available;
    next_used_ = position.next_used;
    signalled_ = position.signalled;
    has_signalled_ = position.has_signalled;
    again_.clear();
    for (const std::uint16_t head : position.under_way) {
        const bool known = head < setup_.size && std::ranges::find(again_, head) == again_.end();
        if (!known) fail(Mistake::head);
        if (known) again_.insert(again_.begin(), head);
    }
}

Chain::Chain(Chain&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      head_(other.head_),
      readable_size_(std::exchange(other.readable_size_, 0)),
      writable_size_(std::exchange(other.writable_size_, 0)),
      readable_(std::move(other.readable_)),
      writable_(std::move(other.writable_)),
      addresses_(std::move(other.addresses_)) {}

Chain& Chain::operator=(Chain&& other) noexcept {
    if (this == &other) return *this;
    clear();
    memory_ = std::exchange(other.memory_, nullptr);
    head_ = other.head_;
    readable_size_ = std::exchange(other.readable_size_, 0);
    writable_size_ = std::exchange(other.writable_size_, 0);
    readable_.swap(other.readable_);
    writable_.swap(other.writable_);
    addresses_.swap(other.addresses_);
    return *this;
}

Chain::~Chain() { clear(); }

/// The device may have written to each of its buffers.
void Chain::clear() noexcept {
    if (GuestMemory* const memory = std::exchange(memory_, nullptr); memory != nullptr) {
        for (std::size_t i = 0; i < writable_.size(); ++i) memory->mark_dirty(addresses_[i], writable_[i].size());
    }
    readable_size_ = writable_size_ = 0;
    readable_.clear();
    writable_.clear();
    addresses_.clear();
}

std::size_t Chain::read(std::uint64_t offset, std::span<std::byte> to) const noexcept {
    std::size_t done = 0;
    for (const auto buffer : readable_) {
        if (done == to.size()) break;
        if (offset >= buffer.size()) {
            offset -= buffer.size();
            continue;
        }
        const std::size_t count = std::min<std::size_t>(to.size() - done, buffer.size() - offset);
        std::memcpy(to.data() + done, buffer.data() + offset, count);
        done += count;
        offset = 0;
    }
    return done;
}

std::size_t Chain::write(std::uint64_t offset, std::span<const std::byte> from) noexcept {
    std::size_t done = 0;
    for (const auto buffer : writable_) {
        if (done == from.size()) break;
        if (offset >= buffer.size()) {
            offset -= buffer.size();
            continue;
        }
        const std::size_t count = std::min<std::size_t>(from.size() - done, buffer.size() - offset);
        std::memcpy(buffer.data() + offset, from.data() + done, count);
        done += count;
        offset = 0;
    }
    return done;
}

}  // namespace asyncvm::virtio
