#include <asyncvm/bus.hpp>
#include <asyncvm/error.hpp>

#include "async/async_mutex.hpp"
#include "bus/burst_detector.hpp"
#include "bus/device_access.hpp"
#include "bus/device_loop_dispatcher.hpp"
#include "bus/ioevent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <utility>

namespace asyncvm {

/// A device on this bus, however many ranges it has.
struct Bus::DeviceSlot {
    std::shared_ptr<Device> device;
    unsigned max_size = 8;
    AsyncMutex mutex;
    std::shared_ptr<DeviceLoopDispatcher> dispatcher;  ///< null for a device that answers in place
    std::atomic<bool> detached = false;
};

struct Bus::Mapping {
    AddressRange range;
    DeviceSlot* slot = nullptr;
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

std::string reason_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "unknown exception";
    }
}

}  // namespace

Bus::Bus(Space space, asio::io_context& device_loop, Log log)
    : space_(space), device_loop_(device_loop), log_(std::move(log)) {}

Bus::~Bus() { close(); }

void Bus::close() noexcept {
    for (const auto& slot : slots_) {
        if (slot->dispatcher) slot->dispatcher->close();
    }
}

void Bus::attach(AddressRange range, std::shared_ptr<Device> device) {
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
    auto slot = std::ranges::find(slots_, device, [](const auto& s) { return s->device; });
    if (slot == slots_.end()) {
        auto made = std::make_shared<DeviceSlot>();
        made->max_size = std::clamp(std::bit_floor(device->max_access_size()), 1u, 8u);
        if (device->affinity() == Affinity::device_loop)
            made->dispatcher = std::make_shared<DeviceLoopDispatcher>(device_loop_, device);
        made->device = std::move(device);
        slots_.push_back(std::move(made));
        slot = std::prev(slots_.end());
    }
    std::vector<std::shared_ptr<IoEvent>> ioevents;
    for (std::size_t index = 0; const Doorbell& doorbell : (*slot)->device->doorbells()) {
        if (doorbell.offset < range.size) {
            ioevents.push_back(std::make_shared<IoEvent>(space_, range.first + doorbell.offset, doorbell, (*slot)->device,
                                                         index, device_loop_));
        }
        ++index;
    }
    const auto place = std::ranges::upper_bound(mappings_, range.first, {}, [](const Mapping& m) { return m.range.first; });
    mappings_.insert(place, Mapping{.range = range, .slot = slot->get(), .ioevents = std::move(ioevents)});
}

inline bool Bus::covers(const Mapping& mapping, std::uint64_t address) noexcept {
    return address - mapping.range.first < mapping.range.size;
}

const Bus::Mapping* Bus::find(std::uint64_t address) const noexcept {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, [](const Mapping& m) { return m.range.first; });
    if (after == mappings_.begin()) return nullptr;
    const Mapping& mapping = *std::prev(after);
    return covers(mapping, address) ? &mapping : nullptr;
}

bool Bus::reaches_device(std::uint64_t address, std::uint64_t size) const noexcept {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, [](const Mapping& m) { return m.range.first; });
    return after != mappings_.end() && after->range.first - address < size;
}

inline bool Bus::suits(const Mapping& mapping, const Transaction& transaction) noexcept {
    // Among the elements of a string some may ring a doorbell.
    if (transaction.data.size() > transaction.size && !mapping.ioevents.empty()) return false;
    const std::uint64_t offset = transaction.address - mapping.range.first;
    return transaction.size <= mapping.slot->max_size && is_power_of_two(transaction.size) &&
           (transaction.size <= mapping.range.size - offset || mapping.range.whole);
}

inline Access Bus::access_of(const Mapping& mapping, const Transaction& transaction, unsigned cpu) const noexcept {
    Access access;
    access.space = space_;
    access.size = transaction.size;
    access.cpu = cpu;
    access.address = transaction.address;
    access.offset = transaction.address - mapping.range.first;
    return access;
}

awaitable<void> Bus::perform(Transaction& transaction, unsigned cpu) {
    const Mapping* const mapping = find(transaction.address);
    if (mapping == nullptr && !reaches_device(transaction.address, transaction.size)) {
        unclaimed_.fetch_add(1, std::memory_order_relaxed);
        fill_with_ones(transaction);
        co_return;
    }
    if (mapping == nullptr || !suits(*mapping, transaction)) {
        co_await perform_split(transaction, cpu);
        co_return;
    }
    if (!mapping->ioevents.empty() && ring(*mapping, transaction)) co_return;
    DeviceSlot& slot = *mapping->slot;
    const bool taken = slot.mutex.try_lock() || slot.mutex.try_lock_spinning();
    if (!taken) co_await slot.mutex.lock();
    const AsyncLock held(slot.mutex);
    if (slot.detached.load(std::memory_order_relaxed)) {
        fill_with_ones(transaction);
        co_return;
    }
    const Access access = access_of(*mapping, transaction, cpu);
    std::exception_ptr failure;
    try {
        if (slot.dispatcher) {
            co_await slot.dispatcher->access_device(access, transaction);
        } else {
            co_await access_device(*slot.device, access, transaction);
        }
        written(*mapping, transaction);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure) co_return;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    failed(slot, transaction, std::move(failure), cancellation.cancelled());
}

void Bus::written(const Mapping& mapping, const Transaction& transaction) const {
    if (on_burst_ && transaction.direction == Direction::write && mapping.burst.step(burst_pause_))
        report_burst(transaction);
}

void Bus::failed(DeviceSlot& slot, Transaction& transaction, std::exception_ptr failure, asio::cancellation_type cancelled) {
    fill_with_ones(transaction);
    // Only the vCPU's own cancellation ends the access without an answer; everything else is the device's fault.
    if (cancelled != asio::cancellation_type::none) std::rethrow_exception(failure);
    if (!slot.detached.exchange(true)) {
        log_(fmt::format("device {} failed at {} and is detached: {}", slot.device->name(),
                         describe(space_, {transaction.address, 1}), reason_of(failure)));
    }
}

Bus::DeviceAccess::DeviceAccess(Bus& bus, const Mapping& mapping, Transaction& transaction, unsigned cpu) noexcept
    : bus_(&bus), mapping_(&mapping), transaction_(&transaction), access_(bus.access_of(mapping, transaction, cpu)) {}

Bus::DeviceAccess::~DeviceAccess() {
    if (mapping_ != nullptr) mapping_->slot->mutex.unlock();
}

Bus::DeviceAccess Bus::try_access(Transaction& transaction, unsigned cpu, Hint& hint) noexcept {
    const Mapping* mapping = hint.last_;
    if (mapping == nullptr || !covers(*mapping, transaction.address)) mapping = hint.last_ = find(transaction.address);
    if (mapping == nullptr || transaction.data.size() != transaction.size || !suits(*mapping, transaction)) return {};
    DeviceSlot& slot = *mapping->slot;
    if (!mapping->ioevents.empty() || slot.detached.load(std::memory_order_relaxed)) return {};
    if (!slot.mutex.try_lock() && !slot.mutex.try_lock_spinning()) return {};
    return {*this, *mapping, transaction, cpu};
}

awaitable<void> Bus::DeviceAccess::answer() {
    const DeviceSlot& slot = *mapping_->slot;
    if (slot.dispatcher) return slot.dispatcher->access_device(access_, *transaction_);
    return asyncvm::answer(*slot.device, access_, *transaction_);
}

void Bus::DeviceAccess::finish() {
    if (transaction_->direction == Direction::write) {
        bus_->written(*mapping_, *transaction_);
    } else if (!mapping_->slot->dispatcher) {
        store_data(access_, *transaction_);
    }
}

void Bus::DeviceAccess::fail(std::exception_ptr failure, asio::cancellation_type cancelled) {
    bus_->failed(*mapping_->slot, *transaction_, std::move(failure), cancelled);
}

awaitable<void> Bus::perform_split(Transaction& transaction, unsigned cpu) {
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

/// Where the accelerator has stopped the vCPU for a write that only notifies.
bool Bus::ring(const Mapping& mapping, const Transaction& transaction) noexcept {
    if (transaction.direction != Direction::write) return false;
    const auto ioevent = std::ranges::find_if(mapping.ioevents, [&](const auto& b) { return b->matches(transaction); });
    if (ioevent == mapping.ioevents.end()) return false;
    (*ioevent)->ring();
    return true;
}

std::vector<std::shared_ptr<IoEvent>> Bus::ioevents() const {
    std::vector<std::shared_ptr<IoEvent>> all;
    for (const Mapping& mapping : mappings_) all.insert(all.end(), mapping.ioevents.begin(), mapping.ioevents.end());
    return all;
}

bool Bus::posts(const CoalescedZone& zone) const noexcept {
    for (std::uint64_t address = zone.address; address - zone.address < zone.size; ++address) {
        const Mapping* const mapping = find(address);
        if (mapping == nullptr) continue;
        if (!mapping->slot->device->posts(address - mapping->range.first)) return false;
        if (std::ranges::any_of(mapping->ioevents, [&](const auto& ioevent) { return ioevent->address() == address; }))
            return false;
    }
    return true;
}

void Bus::report_burst(const Transaction& transaction) const {
    const CoalescedZone zone{space_, transaction.address, transaction.size};
    // A string is many writes for one exit already.
    if (transaction.data.size() == transaction.size && posts(zone)) on_burst_(zone);
}

std::vector<std::shared_ptr<Device>> Bus::devices() const {
    std::vector<std::shared_ptr<Device>> devices;
    for (const auto& slot : slots_) devices.push_back(slot->device);
    return devices;
}

std::vector<AttachedRange> Bus::ranges() const {
    std::vector<AttachedRange> ranges;
    for (const Mapping& mapping : mappings_) ranges.push_back({mapping.range, mapping.slot->device->name()});
    return ranges;
}

std::string_view Bus::device_name(std::uint64_t address) const noexcept {
    const Mapping* const mapping = find(address);
    return mapping == nullptr ? std::string_view() : mapping->slot->device->name();
}

}  // namespace asyncvm
