#include "accel/kvm/irqchip.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>

#include "accel/kvm/sized_list.hpp"
#include "text/errno_text.hpp"

namespace asyncvm::kvm {

namespace {

constexpr unsigned pic_inputs = 16;
constexpr unsigned ioapic_inputs = 24;
constexpr unsigned pic_pins = 8;
constexpr unsigned most_routes = 4096;  ///< KVM_MAX_IRQ_ROUTES

constexpr unsigned long set_gsi_routing = _IOW(KVMIO, 0x6a, CountFlagsHeader);

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::host, fmt::format("{}: {}", what, reason(errno))); }

kvm_irq_routing_entry to_chip(unsigned gsi, unsigned chip, unsigned pin) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = pin;
    return entry;
}

}  // namespace

std::vector<kvm_irq_routing_entry> default_routes() {
    std::vector<kvm_irq_routing_entry> routes;
    for (unsigned gsi = 0; gsi < ioapic_inputs; ++gsi) {
        routes.push_back(to_chip(gsi, KVM_IRQCHIP_IOAPIC, gsi));
        if (gsi >= pic_inputs) continue;
        routes.push_back(to_chip(gsi, gsi < pic_pins ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % pic_pins));
    }
    return routes;
}

void set_msi_route(std::vector<kvm_irq_routing_entry>& routes, unsigned gsi, const MsiMessage& message) {
    std::erase_if(routes, [gsi](const kvm_irq_routing_entry& route) { return route.gsi == gsi; });
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<std::uint32_t>(message.address);
    entry.u.msi.address_hi = static_cast<std::uint32_t>(message.address >> 32);
    entry.u.msi.data = message.data;
    routes.push_back(entry);
}

KvmIrqchip::KvmIrqchip(const Fd& vm, bool pit) : vm_(vm), pit_(pit) {
    if (vm_.control(KVM_CREATE_IRQCHIP, 0) != 0) fail("KVM refuses to make an interrupt controller (KVM_CREATE_IRQCHIP)");
    if (!pit) return;
    kvm_pit_config config{};
    config.flags = KVM_PIT_SPEAKER_DUMMY;  // port 0x61 as well, which shows the output of counter 2
    if (vm_.control(KVM_CREATE_PIT2, &config) != 0) fail("KVM refuses to make a timer (KVM_CREATE_PIT2)");
}

void KvmIrqchip::set(unsigned gsi, bool level) noexcept {
    kvm_irq_level line{};
    line.irq = gsi;
    line.level = level ? 1 : 0;
    vm_.control(KVM_IRQ_LINE, &line);
}

bool KvmIrqchip::signal(const MsiMessage& message) noexcept {
    kvm_msi msi{};
    msi.address_lo = static_cast<std::uint32_t>(message.address);
    msi.address_hi = static_cast<std::uint32_t>(message.address >> 32);
    msi.data = message.data;
    return vm_.control(KVM_SIGNAL_MSI, &msi) > 0;
}

void KvmIrqchip::attach_irqfd(unsigned gsi, int eventfd, int resample_fd) {
    kvm_irqfd request{};
    request.gsi = gsi;
    request.fd = static_cast<std::uint32_t>(eventfd);
    if (resample_fd >= 0) {
        request.flags = KVM_IRQFD_FLAG_RESAMPLE;
        request.resamplefd = static_cast<std::uint32_t>(resample_fd);
    }
    if (vm_.control(KVM_IRQFD, &request) != 0) {
        fail(fmt::format("KVM refuses to raise interrupt {} by an eventfd (KVM_IRQFD)", gsi));
    }
}

void KvmIrqchip::detach_irqfd(unsigned gsi, int eventfd) noexcept {
    kvm_irqfd request{};
    request.gsi = gsi;
    request.fd = static_cast<std::uint32_t>(eventfd);
    request.flags = KVM_IRQFD_FLAG_DEASSIGN;
    vm_.control(KVM_IRQFD, &request);
}

void KvmIrqchip::route(unsigned gsi, const MsiMessage& message) {
    if (gsi < ioapic_inputs || gsi >= most_routes) {
        throw Error(ErrorKind::host,
                    fmt::format("interrupt {} can't be a message: those are {} to {}", gsi, ioapic_inputs, most_routes - 1));
    }
    const std::lock_guard lock(mutex_);
    auto routes = routes_;
    set_msi_route(routes, gsi, message);
    const SizedList<CountFlagsHeader, kvm_irq_routing_entry> table{std::span<const kvm_irq_routing_entry>(routes)};
    if (vm_.control(set_gsi_routing, table.header()) != 0) {
        fail(fmt::format("KVM refuses to send interrupt {} as a message (KVM_SET_GSI_ROUTING)", gsi));
    }
    routes_ = std::move(routes);
}

}  // namespace asyncvm::kvm
