#include "bus/io_bus.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "bus/coalesced_zones.hpp"
#include "bus/device_loop_dispatcher.hpp"
#include "bus/ioevent.hpp"

namespace asyncvm {

struct IoBus::Mapping {
    AddressRange range;
    std::shared_ptr<DeviceSlot> slot;
    std::vector<std::shared_ptr<IoEvent>> ioevents{};
    mutable BurstDetector burst{};  ///< whoever holds the slot's mutex
};

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

IoBus::~IoBus() = default;

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
    std::vector<std::shared_ptr<IoEvent>> ioevents;
    for (std::size_t index = 0; const Doorbell& doorbell : device->doorbells()) {
        if (doorbell.offset < range.size) {
            ioevents.push_back(std::make_shared<IoEvent>(space_, range.first + doorbell.offset, doorbell, slot, index,
                                                         slots_->device_loop()));
        }
        ++index;
    }
    mappings_.reserve(mappings_.size() + 1);
    slots_->keep(slot);
    const auto place = std::ranges::upper_bound(mappings_, range.first, {}, [](const Mapping& m) { return m.range.first; });
    mappings_.insert(place, Mapping{.range = range, .slot = std::move(slot), .ioevents = std::move(ioevents)});
}

inline bool IoBus::covers(const Mapping& mapping, std::uint64_t address) noexcept {
    return address - mapping.range.first < mapping.range.size;
}

const IoBus::Mapping* IoBus::find(std::uint64_t address) const noexcept {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, [](const Mapping& m) { return m.range.first; });
    if (after == mappings_.begin()) return nullptr;
    const Mapping& mapping = *std::prev(after);
    return covers(mapping, address) ? &mapping : nullptr;
}

bool IoBus::reaches_device(std::uint64_t address, std::uint64_t size) const noexcept {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, [](const Mapping& m) { return m.range.first; });
    return after != mappings_.end() && after->range.first - address < size;
}

inline bool IoBus::suits(const Mapping& mapping, const Transaction& transaction) noexcept {
    // Among the elements of a string some may ring a doorbell.
    if (transaction.data.size() > transaction.size && !mapping.ioevents.empty()) return false;
    const std::uint64_t offset = transaction.address - mapping.range.first;
    return transaction.size <= mapping.slot->max_size && is_power_of_two(transaction.size) &&
           (transaction.size <= mapping.range.size - offset || mapping.range.whole);
}

inline IoBus::DeviceAccess::DeviceAccess(IoBus& bus, const Mapping& mapping, Transaction& transaction, unsigned cpu) noexcept
    : bus_(&bus), mapping_(&mapping), transaction_(&transaction) {
    access_.space = bus.space_;
    access_.size = transaction.size;
    access_.cpu = cpu;
    access_.address = transaction.address;
    access_.offset = transaction.address - mapping.range.first;
    AsyncMutex& mutex = mapping.slot->mutex;
    locked_ = mutex.try_lock() || mutex.try_lock_spinning();
}

IoBus::DeviceAccess IoBus::try_access(Transaction& transaction, unsigned cpu, Hint& hint) noexcept {
    const Mapping* mapping = hint.last_;
    if (mapping == nullptr || !covers(*mapping, transaction.address)) mapping = hint.last_ = find(transaction.address);
    if (mapping == nullptr || !mapping->ioevents.empty() || !suits(*mapping, transaction)) return {};
    return {*this, *mapping, transaction, cpu};
}

IoBus::DeviceAccess::~DeviceAccess() {
    if (locked_) mapping_->slot->mutex.unlock();
}

awaitable<void> IoBus::DeviceAccess::lock() {
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
    const Mapping* const mapping = find(transaction.address);
    if (mapping == nullptr && !reaches_device(transaction.address, transaction.size)) {
        note_unclaimed(transaction);
        fill_with_ones(transaction);
        co_return;
    }
    if (mapping == nullptr || !suits(*mapping, transaction)) {
        co_await perform_split(transaction, cpu);
        co_return;
    }
    if (!mapping->ioevents.empty() && ring(*mapping, transaction)) co_return;
    class Once final : public AccessSource {
    public:
        Once(IoBus& bus, const Mapping& mapping, Transaction& transaction, unsigned cpu)
            : bus_(bus), mapping_(mapping), transaction_(transaction), cpu_(cpu) {}
        DeviceAccess next() override {
            if (std::exchange(made_, true)) return {};
            return {bus_, mapping_, transaction_, cpu_};
        }

    private:
        IoBus& bus_;
        const Mapping& mapping_;
        Transaction& transaction_;
        const unsigned cpu_;
        bool made_ = false;
    };
    Once once(*this, *mapping, transaction, cpu);
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
            if (const Mapping* const mapping = find(part.address); mapping != nullptr) {
                const std::uint64_t room =
                    mapping->range.whole ? transaction.size : mapping->range.size - (part.address - mapping->range.first);
                step = static_cast<unsigned>(std::min<std::uint64_t>(
                    std::bit_floor(room), std::min(mapping->slot->max_size, std::bit_floor(transaction.size - done))));
            }
            part.size = static_cast<std::uint8_t>(step);
            part.data = transaction.data.subspan(element + done, step);
            co_await perform(part, cpu);
            done += step;
        }
    }
}

bool IoBus::ring(const Mapping& mapping, const Transaction& transaction) noexcept {
    if (transaction.direction != Direction::write) return false;
    const auto ioevent = std::ranges::find_if(mapping.ioevents, [&](const auto& b) { return b->matches(transaction); });
    if (ioevent == mapping.ioevents.end()) return false;
    (*ioevent)->ring();
    return true;
}

std::vector<std::shared_ptr<IoEvent>> IoBus::ioevents() const {
    std::vector<std::shared_ptr<IoEvent>> all;
    for (const Mapping& mapping : mappings_) all.insert(all.end(), mapping.ioevents.begin(), mapping.ioevents.end());
    return all;
}

bool IoBus::posts(const CoalescedZone& zone) const noexcept {
    for (std::uint64_t address = zone.address; address - zone.address < zone.size; ++address) {
        const Mapping* const mapping = find(address);
        if (mapping == nullptr) continue;
        if (!mapping->slot->device->posts(address - mapping->range.first)) return false;
        if (std::ranges::any_of(mapping->ioevents, [&](const auto& ioevent) { return ioevent->address() == address; }))
            return false;
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
        if (here) devices.push_back(slot->device);
    }
    return devices;
}

std::vector<AttachedRange> IoBus::ranges() const {
    std::vector<AttachedRange> ranges;
    for (const Mapping& mapping : mappings_) ranges.push_back({mapping.range, mapping.slot->device->name()});
    return ranges;
}

std::string_view IoBus::device_name(std::uint64_t address) const noexcept {
    const Mapping* const mapping = find(address);
    return mapping == nullptr ? std::string_view() : mapping->slot->device->name();
}

}  // namespace asyncvm
