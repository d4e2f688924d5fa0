#include "bus/io_bus.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "bus/device_loop_dispatcher.hpp"
#include "bus/ioevent.hpp"
#include "bus/mapping.hpp"

namespace asyncvm {

namespace {

std::string describe(Space space, AddressRange range) {
    const char* const what = space == Space::port ? "port" : "memory";
    if (range.size == 1) return fmt::format("{} {:#x}", what, range.first);
    return fmt::format("{}s {:#x} to {:#x}", space == Space::port ? "port" : "addresse", range.first,
                       range.first + range.size - 1);
}

/// std::has_single_bit() calls a function to count bits, for processors without POPCNT.
constexpr bool is_power_of_two(unsigned size) noexcept { return size != 0 && (size & (size - 1)) == 0; }

void fill_with_ones(Transaction& transaction) {
    if (transaction.direction == Direction::read) std::ranges::fill(transaction.data, std::byte{0xff});
}

}  // namespace

IoBus::IoBus(Space space, std::shared_ptr<DeviceSlots> slots) : space_(space), slots_(std::move(slots)) {
    constexpr std::size_t most = 16;
    unclaimed_addresses_.reserve(most);
}

IoBus::IoBus(Space space, asio::io_context& device_loop, Log log)
    : IoBus(space, std::make_shared<DeviceSlots>(device_loop, std::move(log))) {}

IoBus::~IoBus() {
    for (const auto& movable : movables_) movable->detach();
}

void IoBus::attach(AddressRange range, std::shared_ptr<Device> device) {
    const std::uint64_t last_address = space_ == Space::port ? 0xffff : ~std::uint64_t{0};
    if (range.size == 0 || range.first > last_address || range.size - 1 > last_address - range.first) {
        throw Error(ErrorKind::usage,
                    fmt::format("cannot attach {} at {}: {}", device->name(), describe(space_, range),
                                space_ == Space::port ? "ports are 0 to 0xffff" : "it ends past the address space"));
    }
    const std::uint64_t last = range.first + (range.size - 1);
    for (const Mapping& other : mappings_) {
        const std::uint64_t other_last = other.range.first + (other.range.size - 1);
        if (range.first <= other_last && other.range.first <= last) {
            throw Error(ErrorKind::usage,
                        fmt::format("cannot attach {} at {}: {} is already at {}", device->name(), describe(space_, range),
                                    other.slot->device->name(), describe(space_, other.range)));
        }
    }
    auto slot = slots_->of(device);
    auto ioevents = ioevents_of(slot, range.first, range.size);
    mappings_.reserve(mappings_.size() + 1);
    slots_->keep(slot);
    const auto place = std::ranges::upper_bound(mappings_, range.first, {}, [](const Mapping& m) { return m.range.first; });
    mappings_.insert(place, Mapping{.range = range, .slot = std::move(slot), .ioevents = std::move(ioevents)});
}

std::shared_ptr<MovableRange> IoBus::attach_movable(std::uint64_t size, std::shared_ptr<Device> device) {
    auto slot = slots_->of(device);
    auto ioevents = ioevents_of(slot, std::nullopt, size);
    movables_.reserve(movables_.size() + 1);
    auto movable = std::make_shared<Movable>(size, slot, std::move(ioevents));
    slots_->keep(slot);
    movables_.push_back(movable);
    return movable;
}

std::vector<std::shared_ptr<IoEvent>> IoBus::ioevents_of(const std::shared_ptr<DeviceSlot>& slot,
                                                         std::optional<std::uint64_t> first, std::uint64_t size) const {
    std::vector<std::shared_ptr<IoEvent>> ioevents;
    for (std::size_t index = 0; const Doorbell& doorbell : slot->device->doorbells()) {
        if (doorbell.offset < size) {
            ioevents.push_back(std::make_shared<IoEvent>(space_, first, doorbell, slot, index, slots_->device_loop()));
        }
        ++index;
    }
    return ioevents;
}

IoBus::Found IoBus::find(std::uint64_t address) const noexcept {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, [](const Mapping& m) { return m.range.first; });
    if (after != mappings_.begin()) {
        const Mapping& mapping = *std::prev(after);
        const std::uint64_t offset = address - mapping.range.first;
        if (offset < mapping.range.size) return {&mapping, offset};
    }
    for (const auto& movable : movables_) {
        // Read once: it may move meanwhile.
        const std::uint64_t offset = address - movable->mapping.first();
        if (offset < movable->mapping.range.size) return {&movable->mapping, offset};
    }
    return {};
}

bool IoBus::reaches_device(std::uint64_t address, std::uint64_t size) const noexcept {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, [](const Mapping& m) { return m.range.first; });
    return after != mappings_.end() && after->range.first - address < size;
}

inline bool IoBus::suits(const Found& found, const Transaction& transaction) noexcept {
    const Mapping& mapping = *found.mapping;
    // Among the elements of a string some may ring a doorbell.
    if (transaction.data.size() > transaction.size && !mapping.ioevents.empty()) return false;
    return transaction.size <= mapping.slot->max_size && is_power_of_two(transaction.size) &&
           (transaction.size <= mapping.range.size - found.offset || mapping.range.whole);
}

inline IoBus::DeviceAccess::DeviceAccess(IoBus& bus, const Found& found, Transaction& transaction, unsigned cpu) noexcept
    : bus_(&bus), mapping_(found.mapping), transaction_(&transaction) {
    access_.space = bus.space_;
    access_.size = transaction.size;
    access_.cpu = cpu;
    access_.address = transaction.address;
    access_.offset = found.offset;
    AsyncMutex& mutex = mapping_->slot->mutex;
    locked_ = mutex.try_lock() || mutex.try_lock_spinning();
}

IoBus::DeviceAccess IoBus::try_access(Transaction& transaction, unsigned cpu, Hint& hint) noexcept {
    Found found{hint.last_};
    if (found.mapping != nullptr) found.offset = transaction.address - found.mapping->first();
    if (found.mapping == nullptr || found.offset >= found.mapping->range.size) {
        found = find(transaction.address);
        hint.last_ = found.mapping;
    }
    if (found.mapping == nullptr || !found.mapping->ioevents.empty() || !suits(found, transaction)) return {};
    return {*this, found, transaction, cpu};
}

IoBus::DeviceAccess::~DeviceAccess() {
    if (locked_) mapping_->slot->mutex.unlock();
}

awaitable<void> IoBus::DeviceAccess::lock() {
    if (mapping_->slot->concurrent) co_return;
    co_await mapping_->slot->mutex.lock();
    locked_ = true;
}

inline bool IoBus::DeviceAccess::absent() noexcept {
    if (!mapping_->slot->detached()) return false;
    fill_with_ones(*transaction_);
    return true;
}

inline awaitable<void> IoBus::DeviceAccess::answer() {
    const DeviceSlot& slot = *mapping_->slot;
    if (slot.dispatcher) return slot.dispatcher->access_device(access_, *transaction_);
    return asyncvm::answer(*slot.device, access_, *transaction_);
}

inline void IoBus::DeviceAccess::finish() {
    if (transaction_->direction == Direction::write) {
        bus_->written(*mapping_, *transaction_);
    } else if (!mapping_->slot->dispatcher && transaction_->data.size() == access_.size) {
        store_data(access_, *transaction_);
    }
}

void IoBus::DeviceAccess::fail(std::exception_ptr failure, asio::cancellation_type cancelled) {
    fill_with_ones(*transaction_);
    mapping_->slot->failed(std::move(failure), cancelled, "at " + describe(access_.space, {access_.address, 1}));
}

// Flat: as calls, the small functions in it, Asio's too, take 34 instructions of an access more.
[[gnu::flatten]] awaitable<void> answer_each(AccessSource& source) {
    for (;;) {
        IoBus::DeviceAccess access = source.next();
        if (!access) co_return;
        if (!access.locked_) co_await access.lock();
        if (access.absent()) continue;
        std::exception_ptr failure;
        try {
            co_await access.answer();
            access.finish();
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure) {
            const auto cancellation = co_await asio::this_coro::cancellation_state;
            access.fail(std::move(failure), cancellation.cancelled());
        }
    }
}

awaitable<void> IoBus::perform(Transaction& transaction, unsigned cpu) {
    const Found found = find(transaction.address);
    if (found.mapping == nullptr && !reaches_device(transaction.address, transaction.size)) {
        note_unclaimed(transaction);
        fill_with_ones(transaction);
        co_return;
    }
    if (found.mapping == nullptr || !suits(found, transaction)) {
        co_await perform_split(transaction, cpu);
        co_return;
    }
    if (!found.mapping->ioevents.empty() && ring(found, transaction)) co_return;
    class Once final : public AccessSource {
    public:
        Once(IoBus& bus, const Found& found, Transaction& transaction, unsigned cpu)
            : bus_(bus), found_(found), transaction_(transaction), cpu_(cpu) {}
        DeviceAccess next() override {
            if (std::exchange(made_, true)) return {};
            return {bus_, found_, transaction_, cpu_};
        }

    private:
        IoBus& bus_;
        const Found found_;
        Transaction& transaction_;
        const unsigned cpu_;
        bool made_ = false;
    };
    Once once(*this, found, transaction, cpu);
    co_await answer_each(once);
}

void IoBus::note_unclaimed(const Transaction& transaction) noexcept {
    unclaimed_.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard lock(unclaimed_mutex_);
    auto found = std::ranges::find(unclaimed_addresses_, transaction.address, &UnclaimedAddress::address);
    if (found == unclaimed_addresses_.end()) {
        if (unclaimed_addresses_.size() == unclaimed_addresses_.capacity()) return;
        found = unclaimed_addresses_.insert(found, {.address = transaction.address});
    }
    ++(transaction.direction == Direction::read ? found->reads : found->writes);
}

std::vector<UnclaimedAddress> IoBus::unclaimed_addresses() const {
    const std::lock_guard lock(unclaimed_mutex_);
    return unclaimed_addresses_;
}

void IoBus::on_burst(std::chrono::steady_clock::duration pause, std::function<void(const CoalescedZone&)> listener) {
    burst_pause_ = pause;
    on_burst_ = std::move(listener);
}

inline void IoBus::written(const Mapping& mapping, const Transaction& transaction) const {
    if (on_burst_ && mapping.burst.step(burst_pause_)) report_burst(transaction);
}

awaitable<void> IoBus::perform_split(Transaction& transaction, unsigned cpu) {
    for (std::size_t element = 0; element < transaction.data.size(); element += transaction.size) {
        for (unsigned done = 0; done < transaction.size;) {
            Transaction part;
            part.space = transaction.space;
            part.direction = transaction.direction;
            part.address = transaction.address + done;
            if (space_ == Space::port) part.address &= 0xffff;
            unsigned step = 1;
            if (const Found found = find(part.address); found.mapping != nullptr) {
                const AddressRange& range = found.mapping->range;
                const std::uint64_t room = range.whole ? transaction.size : range.size - found.offset;
                step = static_cast<unsigned>(std::min<std::uint64_t>(
                    std::bit_floor(room), std::min(found.mapping->slot->max_size, std::bit_floor(transaction.size - done))));
            }
            part.size = static_cast<std::uint8_t>(step);
            part.data = transaction.data.subspan(element + done, step);
            co_await perform(part, cpu);
            done += step;
        }
    }
}

bool IoBus::ring(const Found& found, const Transaction& transaction) noexcept {
    if (transaction.direction != Direction::write) return false;
    const auto& all = found.mapping->ioevents;
    const auto ioevent = std::ranges::find_if(all, [&](const auto& b) { return b->matches(transaction, found.offset); });
    if (ioevent == all.end()) return false;
    (*ioevent)->ring();
    return true;
}

std::vector<std::shared_ptr<IoEvent>> IoBus::ioevents() const {
    std::vector<std::shared_ptr<IoEvent>> all;
    for (const Mapping& mapping : mappings_) all.insert(all.end(), mapping.ioevents.begin(), mapping.ioevents.end());
    for (const auto& movable : movables_) {
        all.insert(all.end(), movable->mapping.ioevents.begin(), movable->mapping.ioevents.end());
    }
    return all;
}

bool IoBus::posts(const CoalescedZone& zone) const noexcept {
    for (std::uint64_t address = zone.address; address - zone.address < zone.size; ++address) {
        const Found found = find(address);
        if (found.mapping == nullptr) continue;
        if (!found.mapping->slot->device->posts(found.offset)) return false;
        const bool rings = std::ranges::any_of(found.mapping->ioevents,
                                               [&](const auto& ioevent) { return ioevent->offset() == found.offset; });
        if (rings) return false;
    }
    return true;
}

void IoBus::report_burst(const Transaction& transaction) const {
    const CoalescedZone zone{space_, transaction.address, transaction.size};
    // A string is many writes for one exit already.
    if (transaction.data.size() == transaction.size && posts(zone)) on_burst_(zone);
}

/// Not those of the machine's other bus.
std::vector<std::shared_ptr<Device>> IoBus::devices() const {
    std::vector<std::shared_ptr<Device>> devices;
    for (const auto& slot : slots_->all()) {
        const bool here = std::ranges::find(mappings_, slot, &Mapping::slot) != mappings_.end();
        const bool moves = std::ranges::any_of(movables_, [&](const auto& range) { return range->mapping.slot == slot; });
        if (here || moves) devices.push_back(slot->device);
    }
    return devices;
}

std::vector<AttachedRange> IoBus::standing_ranges() const {
    std::vector<AttachedRange> ranges;
    for (const Mapping& mapping : mappings_) ranges.push_back({mapping.range, mapping.slot->device->name()});
    return ranges;
}

std::vector<IoBus::AttachedMovable> IoBus::movable_ranges() const {
    std::vector<AttachedMovable> ranges;
    for (const auto& movable : movables_) {
        const Mapping& mapping = movable->mapping;
        ranges.push_back({{movable, &movable->place()}, mapping.range.size, mapping.slot->device->name()});
    }
    return ranges;
}

std::vector<AttachedRange> IoBus::ranges() const {
    auto ranges = standing_ranges();
    for (const auto& movable : movable_ranges()) {
        if (const auto first = movable.place->now()) {
            ranges.push_back({{.first = *first, .size = movable.size}, movable.device});
        }
    }
    std::ranges::sort(ranges, {}, [](const AttachedRange& attached) { return attached.range.first; });
    return ranges;
}

std::string_view IoBus::device_name(std::uint64_t address) const noexcept {
    const Found found = find(address);
    return found.mapping == nullptr ? std::string_view() : found.mapping->slot->device->name();
}

}  // namespace asyncvm
