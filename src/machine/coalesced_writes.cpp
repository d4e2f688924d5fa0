#include "machine/coalesced_writes.hpp"

#include "async/signals_blocked.hpp"
#include "machine/ring_pace.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

namespace asyncvm {

/// Takes writes out of the ring however their delivery ends.
class CoalescedWrites::Release {
public:
    Release(CoalescedWrites& coalesced, std::size_t count) noexcept : coalesced_(coalesced), count_(count) {}
    Release(const Release&) = delete;
    Release& operator=(const Release&) = delete;
    ~Release() {
        coalesced_.ring_.release(count_);
        coalesced_.delivered_.fetch_add(count_, std::memory_order_relaxed);
    }

private:
    CoalescedWrites& coalesced_;
    const std::size_t count_;
};

CoalescedWrites::CoalescedWrites(CoalescedRing& ring, IoBus& ports, IoBus& mmio, const Observers& observers,
                                 std::chrono::nanoseconds pause)
    : ring_(ring), ports_(ports), mmio_(mmio), observers_(observers) {
    for (IoBus* const bus : {&ports_, &mmio_}) {
        bus->on_burst(pause, [this](const CoalescedZone& zone) { want(zone); });
    }
}

CoalescedWrites::~CoalescedWrites() { shut(); }

void CoalescedWrites::shut() noexcept {
    if (worker_) worker_->join();
}

/// On a vCPU's thread.
void CoalescedWrites::want(const CoalescedZone& zone) {
    {
        const std::lock_guard lock(mutex_);
        if (std::ranges::find(wanted_, zone) != wanted_.end()) return;
        wanted_.push_back(zone);
    }
    changed_.notify();
}

/// The writes from `first` on that go to one address with one size, as a string. Returns how many.
std::size_t CoalescedWrites::gather(std::size_t first, std::size_t count, Transaction& transaction) noexcept {
    const CoalescedWrite& like = taken_[first];
    std::size_t bytes = 0;
    std::size_t next = first;
    for (; next < count; ++next) {
        const CoalescedWrite& write = taken_[next];
        if (write.address != like.address || write.size != like.size || write.space != like.space) break;
        std::memcpy(data_.data() + bytes, &write.data, like.size);
        bytes += like.size;
    }
    transaction.space = like.space;
    transaction.direction = Direction::write;
    transaction.size = like.size;
    transaction.address = like.address;
    transaction.data = std::span(data_).first(bytes);
    return next - first;
}

awaitable<void> CoalescedWrites::drain() {
    if (!delivery_mutex_.try_lock()) co_await delivery_mutex_.lock();
    const AsyncLock held(delivery_mutex_);
    const std::size_t count = ring_.peek(taken_);
    for (std::size_t done = 0; done < count;) {
        Transaction transaction;
        const std::size_t together = gather(done, count, transaction);
        // Not before it is delivered: whoever finds the ring empty relies on that.
        const Release release(*this, together);
        observers_.notify(&Observer::posted, transaction);
        co_await bus(transaction.space).perform(transaction, 0);
        done += together;
    }
}

awaitable<bool> CoalescedWrites::on_worker(CoalescedZone zone, bool collect) {
    if (!worker_) {
        const SignalsBlocked blocked;
        worker_.emplace(1);
    }
    struct Change {
        Event made;
        std::atomic<bool> result = false;
    };
    const auto change = std::make_shared<Change>();
    const auto before = change->made.generation();
    asio::post(*worker_, [ring = &ring_, zone, collect, change] {
        if (collect) {
            change->result.store(ring->collect(zone));
        } else {
            ring->leave(zone);
        }
        change->made.notify();
    });
    // The other zones' output goes on in the meantime.
    for (bool made = false; !made;) {
        made = co_await change->made.wait(before, RingPace::shortest);
        if (!made && pending()) co_await drain();
    }
    co_return change->result.load();
}

void CoalescedWrites::zones_have_changed() noexcept {
    zone_count_.store(zones_.all().size(), std::memory_order_relaxed);
    zones_changed_.notify();
}

awaitable<void> CoalescedWrites::collect_wanted() {
    std::vector<CoalescedZone> wanted;
    {
        const std::lock_guard lock(mutex_);
        wanted.swap(wanted_);
    }
    for (const CoalescedZone& zone : wanted) {
        if (zones_.covers(zone) || !bus(zone.space).posts(zone)) continue;
        for (const CoalescedZone& inner : zones_.inside(zone)) {
            static_cast<void>(co_await on_worker(inner, false));
            zones_.remove(inner);
        }
        const bool collected = co_await on_worker(zone, true);
        if (collected) zones_.add(zone);
        zones_have_changed();
    }
}

awaitable<void> CoalescedWrites::leave_some(bool all) {
    const std::vector<CoalescedZone> zones = zones_.all();
    for (const CoalescedZone& zone : zones) {
        if (!all && bus(zone.space).posts(zone)) continue;
        static_cast<void>(co_await on_worker(zone, false));
        zones_.remove(zone);
        zones_have_changed();
    }
}

awaitable<void> CoalescedWrites::run(std::shared_ptr<CoalescedWrites> self) {
    RingPace pace;
    for (bool none = true;;) {
        const auto seen = self->changed_.generation();
        const bool ending = self->ending_.load();
        const bool found = self->pending();
        const auto before = self->delivered();
        if (found) co_await self->drain();
        if (ending) {
            while (self->pending()) co_await self->drain();
            break;
        }
        co_await self->collect_wanted();
        if (none) pace.restart(RingPace::Clock::now());
        pace.looked(found, before, self->delivered(), RingPace::Clock::now());
        co_await self->leave_some(pace.idle());
        none = self->zones_.all().empty();
        co_await self->changed_.wait(seen, none ? Event::no_limit : pace.pause());
    }
    self->ended_ = true;
    self->end_.notify();
}

awaitable<void> CoalescedWrites::finish(std::chrono::milliseconds limit) {
    const auto seen = end_.generation();
    ending_.store(true);
    changed_.notify();
    if (!ended_) co_await end_.wait(seen, limit);
}

}  // namespace asyncvm
