#include "machine/coalesced_writes.hpp"

#include "async/signals_blocked.hpp"

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
        coalesced_.writes_.release(count_);
        coalesced_.delivered_.fetch_add(count_, std::memory_order_relaxed);
    }

private:
    CoalescedWrites& coalesced_;
    const std::size_t count_;
};

CoalescedWrites::CoalescedWrites(CoalescedRing& writes, Bus& ports, Bus& mmio, std::chrono::nanoseconds pause)
    : writes_(writes), ports_(ports), mmio_(mmio) {
    for (Bus* const bus : {&ports_, &mmio_}) {
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
    const std::size_t count = writes_.peek(taken_);
    for (std::size_t done = 0; done < count;) {
        Transaction transaction;
        const std::size_t together = gather(done, count, transaction);
        // Not before it is delivered: whoever finds the ring empty relies on that.
        const Release release(*this, together);
        if (recorder_ != nullptr) recorder_->posted(transaction.space, transaction.address, together);
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
    asio::post(*worker_, [writes = &writes_, zone, collect, change] {
        if (collect) {
            change->result.store(writes->collect(zone));
        } else {
            writes->leave(zone);
        }
        change->made.notify();
    });
    // The other zones' output goes on in the meantime.
    for (bool made = false; !made;) {
        made = co_await change->made.wait(before, tick);
        if (!made && pending()) co_await drain();
    }
    co_return change->result.load();
}

void CoalescedWrites::set_zones(std::vector<CoalescedZone> zones) {
    zones_ = std::move(zones);
    zone_count_.store(zones_.size(), std::memory_order_relaxed);
    zones_changed_.notify();
}

awaitable<void> CoalescedWrites::collect_wanted() {
    std::vector<CoalescedZone> wanted;
    {
        const std::lock_guard lock(mutex_);
        wanted.swap(wanted_);
    }
    for (const CoalescedZone& zone : wanted) {
        if (std::ranges::find(zones_, zone) != zones_.end() || !bus(zone.space).posts(zone)) continue;
        const bool collected = co_await on_worker(zone, true);
        if (!collected) continue;
        auto zones = zones_;
        zones.push_back(zone);
        set_zones(std::move(zones));
    }
}

awaitable<void> CoalescedWrites::leave_some(bool all) {
    std::vector<CoalescedZone> stay;
    std::vector<CoalescedZone> go;
    for (const CoalescedZone& zone : zones_) {
        (all || !bus(zone.space).posts(zone) ? go : stay).push_back(zone);
    }
    if (go.empty()) co_return;
    for (const CoalescedZone& zone : go) static_cast<void>(co_await on_worker(zone, false));
    set_zones(std::move(stay));
}

awaitable<void> CoalescedWrites::run(std::shared_ptr<CoalescedWrites> self) {
    unsigned idle = 0;
    std::uint64_t delivered = 0;
    for (;;) {
        const auto seen = self->changed_.generation();
        const bool ending = self->ending_.load();
        if (self->pending()) co_await self->drain();
        if (ending) {
            while (self->pending()) co_await self->drain();
            break;
        }
        co_await self->collect_wanted();
        const auto now = self->delivered();
        idle = now == delivered ? idle + 1 : 0;
        delivered = now;
        co_await self->leave_some(idle > idle_ticks);
        if (self->zones_.empty()) idle = 0;
        co_await self->changed_.wait(seen, self->zones_.empty() ? Event::no_limit : tick);
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
