#include "remote/device.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace asyncvm::remote {

namespace {

std::vector<Region> regions_of(const RemoteSpec& spec) {
    std::vector<Region> regions;
    for (const auto& range : spec.ports) regions.push_back({.address = range.first, .size = range.size, .memory = false});
    for (const auto& range : spec.mmio) regions.push_back({.address = range.first, .size = range.size, .memory = true});
    return regions;
}

}  // namespace

Proxy::Proxy(RemoteSpec spec, Log log)
    : spec_(std::move(spec)),
      log_(std::move(log)),
      regions_(regions_of(spec_)),
      set_(std::make_shared<PollSet>()),
      place_(spec_, set_) {
    if (!spec_.name.empty()) name_after(spec_.name);
}

std::string_view Proxy::name() const noexcept {
    if (!named_.load(std::memory_order_acquire)) return "remote";
    return full_name_;
}

void Proxy::name_after(const std::string& name) {
    peer_ = name;
    if (named_) return;
    full_name_ = "remote " + name;
    named_.store(true, std::memory_order_release);
}

void Proxy::attached(const DeviceContext& context) {
    context_.emplace(context);
    for (const unsigned irq : spec_.irqs) lines_.push_back(context.irq ? context.irq(irq) : IrqLine());
    if (spec_.memory != RemoteSpec::Memory::map) return;
    const auto& regions = context.memory.regions();
    if (std::ranges::any_of(regions, [](const auto& region) { return region.fd >= 0; })) return;
    throw Error(ErrorKind::usage, "device remote: memory=map needs shared guest memory (--memory-share on)");
}

void Proxy::log(std::string_view text) const {
    log_(fmt::format("remote: {}{}{} {}", peer_, peer_.empty() ? "" : " at ", place_.where(), text));
}

// Accesses.

std::shared_ptr<Link> Proxy::link() const {
    const std::lock_guard lock(mutex_);
    return link_;
}

RegionAccess Proxy::region_of(const Access& access) const noexcept {
    const bool memory = access.space == Space::memory;
    std::uint16_t region = 0;
    while (regions_[region].memory != memory || access.address - regions_[region].address >= regions_[region].size) ++region;
    return {.offset = access.offset, .region = region, .width = access.size, .count = access.size};
}

awaitable<void> Proxy::write(const Access& access) { return exchange(region_of(access), true, {}, access.data); }

awaitable<void> Proxy::read(Access& access) {
    access.data = 0;
    return exchange(region_of(access), false, std::as_writable_bytes(std::span(&access.data, 1)).first(access.size), 0);
}

awaitable<void> Proxy::write_string(const Access& first, std::span<const std::byte> data) {
    // Nobody writes there.
    return exchange_string(region_of(first), true, {const_cast<std::byte*>(data.data()), data.size()});
}

awaitable<void> Proxy::read_string(const Access& first, std::span<std::byte> data) {
    return exchange_string(region_of(first), false, data);
}

/// In as many pieces as the device wants.
awaitable<void> Proxy::exchange_string(RegionAccess access, bool write, std::span<std::byte> data) {
    while (!data.empty()) {
        std::shared_ptr<Link> link;
        const bool there = look(link) == Presence::there;
        std::size_t size = std::min<std::size_t>(data.size(), there ? link->agreement().max_data : least_data);
        size -= size % access.width;
        const auto piece = data.first(size);
        access.count = static_cast<std::uint32_t>(size);
        co_await exchange(access, write, piece, 0);
        data = data.subspan(size);
    }
}

Proxy::Presence Proxy::look(std::shared_ptr<Link>& link) const {
    const std::lock_guard lock(mutex_);
    link = link_;
    if (link && link->stage() == Link::Stage::online) return Presence::there;
    return settled_ && (over_ || !spec_.lost_waits) ? Presence::absent : Presence::coming;
}

/// `data` is empty for a write of `value`.
awaitable<void> Proxy::exchange(RegionAccess access, bool write, std::span<std::byte> data, std::uint64_t value) {
    if (data.empty()) data = std::as_writable_bytes(std::span(&value, 1)).first(access.width);
    const auto until = Clock::now() + spec_.timeout;
    for (;;) {
        const auto seen = changed_->generation();
        std::shared_ptr<Link> link;
        const Presence presence = look(link);
        if (presence == Presence::absent) break;
        if (presence == Presence::coming) {
            co_await changed_->wait(seen);
            continue;
        }
        Link::Start start = Link::Start::offline;
        if (write && link->posts()) {
            start = link->post(access, data);
            if (start == Link::Start::begun) co_return;
        } else {
            Ask ask(access, write, data);
            bool in_place = true;
            start = link->start(ask, in_place);
            if (start == Link::Start::begun) {
                if (in_place) link->await_in_place(ask);
                const Ask::State state = co_await link->finish(ask);
                if (state == Ask::State::answered) co_return;
                if (state != Ask::State::lost || !spec_.lost_waits) break;
                continue;
            }
        }
        if (start != Link::Start::no_room) continue;  // it has just ended
        const auto now = Clock::now();
        if (now >= until) {
            link->give_up(access, write);
            break;
        }
        co_await changed_->wait(seen, until - now);
    }
    if (!write) std::ranges::fill(data, std::byte{0xff});
}

bool Proxy::posts(std::uint64_t) const noexcept {
    const auto now = link();
    return now && now->posts();
}

void Proxy::save(StateWriter&) {
    throw Error(ErrorKind::usage, fmt::format("a machine with {} can't be saved: its state is in another process", name()));
}

void Proxy::restore(StateReader&) {
    throw Error(ErrorKind::usage, fmt::format("the state of {} can't be restored: it is in another process", name()));
}

}  // namespace asyncvm::remote

namespace asyncvm {

std::shared_ptr<RemoteDevice> make_remote_device(RemoteSpec spec, Log log) {
    const std::size_t ranges = spec.ports.size() + spec.mmio.size();
    const auto complain = [](const std::string& what) {
        throw Error(ErrorKind::usage, fmt::format("device remote: {}", what));
    };
    if (ranges == 0) complain("it has no port= and no mmio= (for example port=0x300-0x307)");
    if (ranges > most_remote_ranges) complain(fmt::format("{} ranges are too many: {} at most", ranges, most_remote_ranges));
    if (spec.irqs.size() > most_remote_irqs) {
        complain(fmt::format("{} interrupt lines are too many: {} at most", spec.irqs.size(), most_remote_irqs));
    }
    if (std::ranges::any_of(spec.irqs, [](unsigned irq) { return irq > 23; })) complain("an interrupt line is 0 to 23");
    if (spec.how != RemoteSpec::How::exec) remote::check_socket_place(spec.place);
    if (spec.place.empty()) complain("exec= needs a command (for example exec=./device.py)");
    if (spec.memory == RemoteSpec::Memory::map && spec.how != RemoteSpec::How::exec && !spec.place.starts_with("unix:")) {
        complain("memory=map hands descriptors over, which only unix: and exec= can");
    }
    if (spec.lost_waits && !spec.reconnect) complain("lost=wait waits for a connection that reconnect=off excludes");
    if (spec.timeout.count() < 1) complain("timeout= is 1 or more milliseconds");
    return std::make_shared<remote::Proxy>(std::move(spec), std::move(log));
}

}  // namespace asyncvm
