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
        if (gsi != 2) routes.push_back(to_chip(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi));
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
    set_routes(routes_);
    set_bios_vectors();
    if (!pit) return;
    kvm_pit_config config{};
    config.flags = KVM_PIT_SPEAKER_DUMMY;  // port 0x61 as well, which shows the output of counter 2
    if (vm_.control(KVM_CREATE_PIT2, &config) != 0) fail("KVM refuses to make a timer (KVM_CREATE_PIT2)");
}

void KvmIrqchip::set_bios_vectors() const {
    struct Pic {
        std::uint32_t chip;
        std::uint8_t vectors;
        std::uint8_t mask;
    };
    // Masked: timer, keyboard, serial ports; clock, ACPI.
    for (const auto& [chip, vectors, mask] :
         {Pic{KVM_IRQCHIP_PIC_MASTER, 0x08, 0x1b}, Pic{KVM_IRQCHIP_PIC_SLAVE, 0x70, 0x03}}) {
        kvm_irqchip state{};
        state.chip_id = chip;
        if (vm_.control(KVM_GET_IRQCHIP, &state) != 0) ioctl_failed("KVM_GET_IRQCHIP");
        state.chip.pic.irq_base = vectors;
        state.chip.pic.imr = mask;
        if (vm_.control(KVM_SET_IRQCHIP, &state) != 0) ioctl_failed("KVM_SET_IRQCHIP");
    }
}

void KvmIrqchip::set_routes(const std::vector<kvm_irq_routing_entry>& routes) const {
    const SizedList<CountFlagsHeader, kvm_irq_routing_entry> table{std::span(routes)};
    if (vm_.control(set_gsi_routing, table.header()) != 0) fail("KVM refuses routes of interrupts (KVM_SET_GSI_ROUTING)");
}

bool KvmIrqchip::may_interrupt(const LocalApic& apic) const {
    InterruptSources sources;
    sources.apic = apic;
    sources.driven = driven_.load();
    sources.messages = messages_.load();
    sources.ioapic = read_chip(KVM_IRQCHIP_IOAPIC).chip.ioapic;
    sources.master = read_chip(KVM_IRQCHIP_PIC_MASTER).chip.pic;
    sources.slave = read_chip(KVM_IRQCHIP_PIC_SLAVE).chip.pic;
    if (pit_) {
        kvm_pit_state2 pit{};
        if (vm_.control(KVM_GET_PIT2, &pit) != 0) ioctl_failed("KVM_GET_PIT2");
        sources.pit_mode = pit.channels[0].mode;
    }
    return interrupt_may_come(sources);
}

kvm_irqchip KvmIrqchip::read_chip(unsigned chip) const {
    kvm_irqchip state{};
    state.chip_id = chip;
    if (vm_.control(KVM_GET_IRQCHIP, &state) != 0) ioctl_failed("KVM_GET_IRQCHIP");
    return state;
}

InterruptState KvmIrqchip::state() const {
    InterruptState state;
    const kvm_ioapic_state ioapic = read_chip(KVM_IRQCHIP_IOAPIC).chip.ioapic;
    state.ioapic.irr = ioapic.irr;
    for (std::size_t i = 0; i < state.ioapic.redirection.size(); ++i) {
        state.ioapic.redirection[i] = ioapic.redirtbl[i].bits;
    }
    for (unsigned i = 0; i < state.pics.size(); ++i) {
        const kvm_pic_state pic = read_chip(i == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE).chip.pic;
        state.pics[i] = {.irr = pic.irr, .isr = pic.isr, .imr = pic.imr, .vector = pic.irq_base, .elcr = pic.elcr};
    }
    return state;
}

void KvmIrqchip::connect(unsigned gsi) noexcept {
    if (gsi < ioapic_inputs) driven_.fetch_or(1u << gsi);
}

void KvmIrqchip::set(unsigned gsi, bool level) noexcept {
    kvm_irq_level line{};
    line.irq = gsi;
    line.level = level ? 1 : 0;
    vm_.control(KVM_IRQ_LINE, &line);
}

bool KvmIrqchip::signal(const MsiMessage& message) noexcept {
    messages_.store(true);
    kvm_msi msi{};
    msi.address_lo = static_cast<std::uint32_t>(message.address);
    msi.address_hi = static_cast<std::uint32_t>(message.address >> 32);
    msi.data = message.data;
    return vm_.control(KVM_SIGNAL_MSI, &msi) > 0;
}

void KvmIrqchip::attach_irqfd(unsigned gsi, int eventfd, int resample_fd) {
    connect(gsi);
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
    set_routes(routes);
    messages_.store(true);
    routes_ = std::move(routes);
}

}  // namespace asyncvm::kvm
