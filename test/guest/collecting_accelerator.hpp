/// The accelerator under test, and what is known of its posted writes: whether they are collected just now.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/event.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "accelerator_under_test.hpp"

namespace asyncvm::test {

/// The zones that the host collects. Any thread, any executor.
class Zones {
public:
    void collected() noexcept {
        ++count_;
        collected_.notify();
    }
    void left() noexcept {
        --count_;
        left_.notify();
    }

    /// Until one has been collected, ever.
    awaitable<void> wait_for_the_first() { co_await collected_.wait(0); }

    awaitable<void> wait_until_none() {
        for (;;) {
            const auto seen = left_.generation();
            if (count_ == 0) co_return;
            co_await left_.wait(seen);
        }
    }

private:
    std::atomic<int> count_ = 0;
    Event collected_;
    Event left_;
};

class CollectingWrites : public CoalescedRing {
public:
    CollectingWrites(CoalescedRing& writes, std::shared_ptr<Zones> zones) : writes_(writes), zones_(std::move(zones)) {}
    bool collect(const CoalescedZone& zone) noexcept override {
        const bool collected = writes_.collect(zone);
        if (collected) zones_->collected();
        return collected;
    }
    void leave(const CoalescedZone& zone) noexcept override {
        writes_.leave(zone);
        zones_->left();
    }
    bool pending() const noexcept override { return writes_.pending(); }
    std::size_t peek(std::span<CoalescedWrite> writes) const noexcept override { return writes_.peek(writes); }
    void release(std::size_t count) noexcept override { writes_.release(count); }

private:
    CoalescedRing& writes_;
    const std::shared_ptr<Zones> zones_;
};

template <class Ring>
std::unique_ptr<CoalescedRing> wrap_in(CoalescedRing& ring, std::shared_ptr<Zones> zones) {
    return std::make_unique<Ring>(ring, std::move(zones));
}

class CollectingAccelerator : public Accelerator {
public:
    /// Makes what stands before the accelerator's own ring.
    using Wrap = std::function<std::unique_ptr<CoalescedRing>(CoalescedRing&, std::shared_ptr<Zones>)>;

    explicit CollectingAccelerator(std::shared_ptr<Zones> zones, Wrap wrap = wrap_in<CollectingWrites>)
        : zones_(std::move(zones)), wrap_(std::move(wrap)) {}
    std::string_view name() const noexcept override { return accelerator_->name(); }
    void map(const GuestMemory& memory) override { accelerator_->map(memory); }
    std::unique_ptr<Cpu> create_cpu(unsigned index) override { return accelerator_->create_cpu(index); }
    bool connect_doorbell(Space space, std::uint64_t address, const Doorbell& doorbell, int eventfd) noexcept override {
        return accelerator_->connect_doorbell(space, address, doorbell, eventfd);
    }
    CoalescedRing* posted_writes() noexcept override {
        auto* const writes = accelerator_->posted_writes();
        if (writes == nullptr) return nullptr;
        if (!writes_) writes_ = wrap_(*writes, zones_);
        return writes_.get();
    }

private:
    const std::shared_ptr<Zones> zones_;
    std::unique_ptr<Accelerator> accelerator_ = make_accelerator_under_test();
    const Wrap wrap_;
    std::unique_ptr<CoalescedRing> writes_;
};

}  // namespace asyncvm::test
