#include "accel/kvm/state_io.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <linux/kvm.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "accel/kvm/cpuid.hpp"
#include "accel/kvm/msrs.hpp"
#include "accel/kvm/restore_order.hpp"
#include "accel/kvm/sized_list.hpp"

namespace asyncvm::kvm {

namespace {

using Section = AcceleratorState::Section;

constexpr unsigned long get_msr_index_list = _IOWR(KVMIO, 0x02, CountHeader);

/// struct kvm_xsave; the kernel's own has a flexible array behind it, and another size in C++.
struct Xsave {
    std::uint32_t region[1024];
};
constexpr unsigned long get_xsave = _IOR(KVMIO, 0xa4, Xsave);
constexpr unsigned long set_xsave = _IOW(KVMIO, 0xa5, Xsave);
constexpr unsigned long get_xsave2 = _IOR(KVMIO, 0xcf, Xsave);
constexpr std::size_t room_for_xsave2 = 64 << 10;  ///< bytes; AMX, the largest there is, takes 11 KiB
constexpr std::uint32_t msr_tsc = 0x10;
constexpr std::uint32_t msr_tsc_deadline = 0x6e0;

/// Sections are the kernel's own structures, which are part of its interface.
template <typename T>
void put(AcceleratorState& state, std::string name, const T* from, std::size_t count = 1) {
    const auto bytes = std::as_bytes(std::span(from, count));
    state.sections.push_back({std::move(name), 1, {bytes.begin(), bytes.end()}});
}

template <typename T>
void save(AcceleratorState& state, const Fd& fd, unsigned long request, const char* what, std::string name) {
    T value{};
    if (fd.control(request, &value) != 0) ioctl_failed(what);
    put(state, std::move(name), &value);
}

const Section& find(const AcceleratorState& state, std::string_view name) {
    const auto* const section = state.find(name);
    if (section == nullptr) throw Error(ErrorKind::usage, fmt::format("the saved state has no section {}", name));
    if (section->version != 1) {
        throw Error(ErrorKind::usage, fmt::format("the saved section {} has version {}, not 1", name, section->version));
    }
    return *section;
}

template <typename T>
T value_of(const Section& section) {
    T value{};
    if (section.bytes.size() != sizeof value) {
        throw Error(ErrorKind::usage, fmt::format("the saved section {} has {} bytes instead of {}", section.name,
                                                  section.bytes.size(), sizeof value));
    }
    std::memcpy(&value, section.bytes.data(), sizeof value);
    return value;
}

template <typename T>
std::vector<T> values_of(const Section& section) {
    if (section.bytes.size() % sizeof(T) != 0) {
        throw Error(ErrorKind::usage, fmt::format("the saved section {} has {} bytes, no multiple of {}", section.name,
                                                  section.bytes.size(), sizeof(T)));
    }
    std::vector<T> values(section.bytes.size() / sizeof(T));
    std::ranges::copy(section.bytes, std::as_writable_bytes(std::span(values)).begin());  // nothing where there is none
    return values;
}

template <typename T>
void restore(const AcceleratorState& state, const Fd& fd, unsigned long request, const char* what, std::string_view name) {
    auto value = value_of<T>(find(state, name));
    if (fd.control(request, &value) != 0) ioctl_failed(what);
}

void check_origin(const AcceleratorState& state) {
    if (state.accelerator == "kvm") return;
    throw Error(ErrorKind::usage, fmt::format("the state was saved on {}, and KVM can't go on with it", state.accelerator));
}

struct Tsc {
    std::uint64_t value = 0;
    std::uint64_t offset = 0;      ///< from the host's TSC to the guest's
    std::uint64_t khz = 0;         ///< 0: not known
    std::uint64_t has_offset = 0;  ///< 1: `offset` is known
};

kvm_device_attr tsc_offset_attribute(std::uint64_t* value) {
    kvm_device_attr attribute{};
    attribute.group = KVM_VCPU_TSC_CTRL;
    attribute.attr = KVM_VCPU_TSC_OFFSET;
    attribute.addr = reinterpret_cast<std::uint64_t>(value);
    return attribute;
}

Tsc read_tsc(const Fd& cpu) {
    Tsc tsc;
    const auto attribute = tsc_offset_attribute(&tsc.offset);
    tsc.has_offset = cpu.control(KVM_GET_DEVICE_ATTR, &attribute) == 0 ? 1 : 0;
    const auto msr = read_msrs(cpu, std::array{msr_tsc});
    if (!msr.empty()) tsc.value = msr[0].data;
    if (const int khz = cpu.control(KVM_GET_TSC_KHZ, 0); khz > 0) tsc.khz = static_cast<std::uint64_t>(khz);
    return tsc;
}

constexpr std::array irqchips{KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC};

}  // namespace

const StateIo::Host& StateIo::host() {
    std::call_once(asked_, [this] {
        const auto has = [this](unsigned long capability) { return vm_.control(KVM_CHECK_EXTENSION, capability) > 0; };
        host_.sregs2 = has(KVM_CAP_SREGS2);
        host_.xcrs = has(KVM_CAP_XCRS);
        host_.debugregs = has(KVM_CAP_DEBUGREGS);
        host_.mp_state = has(KVM_CAP_MP_STATE);
        host_.vcpu_events = has(KVM_CAP_VCPU_EVENTS);
        host_.clock = has(KVM_CAP_ADJUST_CLOCK);
        if (const int size = vm_.control(KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2); size > 0) {
            // What a vCPU's CPUID shows may make it larger than what this says before.
            host_.xsave_size = std::max(static_cast<std::size_t>(size), room_for_xsave2);
        } else if (has(KVM_CAP_XSAVE)) {
            host_.xsave_size = sizeof(Xsave);
        }
        using IndexList = SizedList<CountHeader, std::uint32_t>;
        for (std::size_t room = 512;; room *= 2) {
            const IndexList list(room);
            if (system_.control(get_msr_index_list, list.header()) == 0) {
                host_.msrs.assign(list.entries().begin(), list.entries().end());
                break;
            }
            if (errno != E2BIG || room > 1 << 16) ioctl_failed("KVM_GET_MSR_INDEX_LIST");
        }
        std::erase(host_.msrs, msr_tsc);
        std::erase(host_.msrs, msr_tsc_deadline);
    });
    return host_;
}

std::vector<std::byte> StateIo::read_xsave(const Fd& cpu) {
    std::vector<std::byte> xsave(host().xsave_size);
    if (xsave.empty()) return xsave;
    const unsigned long request = xsave.size() > sizeof(Xsave) ? get_xsave2 : get_xsave;
    if (cpu.control(request, xsave.data()) != 0) ioctl_failed("KVM_GET_XSAVE");
    return xsave;
}

void StateIo::write_xsave(const Fd& cpu, std::vector<std::byte> xsave) {
    if (cpu.control(set_xsave, xsave.data()) != 0) ioctl_failed("KVM_SET_XSAVE");
}

CpuState StateIo::save_cpu(const Fd& cpu) {
    const Host& host = this->host();
    CpuState state;
    state.accelerator = "kvm";
    // MP_STATE first: asking for it makes the kernel take in an INIT or SIPI that has come.
    if (host.mp_state) save<kvm_mp_state>(state, cpu, KVM_GET_MP_STATE, "KVM_GET_MP_STATE", "mp-state");
    const auto cpuid = read_cpuid(cpu);
    put(state, "cpuid", cpuid.data(), cpuid.size());
    if (host.sregs2) save<kvm_sregs2>(state, cpu, KVM_GET_SREGS2, "KVM_GET_SREGS2", "sregs2");
    save<kvm_sregs>(state, cpu, KVM_GET_SREGS, "KVM_GET_SREGS", "sregs");
    if (host.xcrs) save<kvm_xcrs>(state, cpu, KVM_GET_XCRS, "KVM_GET_XCRS", "xcrs");
    if (host.xsave_size != 0) {
        std::vector<std::byte> xsave = read_xsave(cpu);
        while (xsave.size() > sizeof(Xsave) && xsave.back() == std::byte{0}) xsave.pop_back();
        state.sections.push_back({"xsave", 1, std::move(xsave)});
    } else {
        save<kvm_fpu>(state, cpu, KVM_GET_FPU, "KVM_GET_FPU", "fpu");
    }
    if (host.debugregs) save<kvm_debugregs>(state, cpu, KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS", "debugregs");
    if (irqchip_) {
        save<kvm_lapic_state>(state, cpu, KVM_GET_LAPIC, "KVM_GET_LAPIC", "lapic");
        const auto deadline = read_msrs(cpu, std::array{msr_tsc_deadline});
        if (!deadline.empty()) put(state, "tsc-deadline", deadline.data());
    }
    const Tsc tsc = read_tsc(cpu);
    put(state, "tsc", &tsc);
    const auto msrs = read_msrs(cpu, host.msrs);
    put(state, "msrs", msrs.data(), msrs.size());
    save<kvm_regs>(state, cpu, KVM_GET_REGS, "KVM_GET_REGS", "regs");
    if (host.vcpu_events) {
        save<kvm_vcpu_events>(state, cpu, KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS", "vcpu-events");
    }
    return state;
}

void StateIo::restore_tsc(const Fd& cpu, unsigned index, const Section& section) {
    const auto saved = value_of<Tsc>(section);
    auto present = read_tsc(cpu);
    if (saved.khz != 0 && present.khz != saved.khz) {
        if (cpu.control(KVM_SET_TSC_KHZ, static_cast<unsigned long>(saved.khz)) != 0) {
            throw Error(ErrorKind::host,
                        fmt::format("this host can't run a time stamp counter at the saved {} kHz (its own: "
                                    "{} kHz)",
                                    saved.khz, present.khz));
        }
        present = read_tsc(cpu);
    }
    if (saved.has_offset == 0 || present.has_offset == 0) {
        // The kernel takes a value that is within a second of the present one for an attempt to synchronise two vCPUs.
        kvm_msr_entry entry{};
        entry.index = msr_tsc;
        entry.data = saved.value;
        return write_msrs(cpu, std::span(&entry, 1));
    }
    std::uint64_t shift = 0;
    {
        const std::lock_guard lock(mutex_);
        if (!tsc_shift_ || shifted_.contains(index)) {
            tsc_shift_ = (saved.value - saved.offset) - (present.value - present.offset);
            shifted_.clear();
        }
        shifted_.insert(index);
        shift = *tsc_shift_;
    }
    std::uint64_t offset = saved.offset + shift;
    const auto attribute = tsc_offset_attribute(&offset);
    if (cpu.control(KVM_SET_DEVICE_ATTR, &attribute) != 0) ioctl_failed("setting KVM_VCPU_TSC_OFFSET");
}

void StateIo::restore_cpu(const Fd& cpu, unsigned index, const CpuState& state) {
    check_origin(state);
    const Host& host = this->host();
    for (const StateStep step : cpu_restore_order) {
        switch (step) {
            case StateStep::cpuid:
                // Once a vCPU has run the kernel refuses even what it has already.
                if (const auto cpuid = values_of<kvm_cpuid_entry2>(find(state, "cpuid"));
                    !same_cpuid(read_cpuid(cpu), cpuid))
                    write_cpuid(cpu, cpuid);
                break;
            case StateStep::sregs:
                if (host.sregs2 && state.find("sregs2") != nullptr) {
                    restore<kvm_sregs2>(state, cpu, KVM_SET_SREGS2, "KVM_SET_SREGS2", "sregs2");
                } else {
                    restore<kvm_sregs>(state, cpu, KVM_SET_SREGS, "KVM_SET_SREGS", "sregs");
                }
                break;
            case StateStep::xcrs:
                if (state.find("xcrs") != nullptr) restore<kvm_xcrs>(state, cpu, KVM_SET_XCRS, "KVM_SET_XCRS", "xcrs");
                break;
            case StateStep::xsave:
                if (const auto* const fpu = state.find("fpu"); fpu != nullptr) {
                    restore<kvm_fpu>(state, cpu, KVM_SET_FPU, "KVM_SET_FPU", "fpu");
                } else {
                    auto xsave = find(state, "xsave").bytes;
                    // The kernel reads as much as this host's processor has; what the other one had not is zero.
                    xsave.resize(std::max(xsave.size(), host.xsave_size));
                    write_xsave(cpu, std::move(xsave));
                }
                break;
            case StateStep::debugregs:
                if (state.find("debugregs") != nullptr)
                    restore<kvm_debugregs>(state, cpu, KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS", "debugregs");
                break;
            case StateStep::lapic:
                if (irqchip_) restore<kvm_lapic_state>(state, cpu, KVM_SET_LAPIC, "KVM_SET_LAPIC", "lapic");
                break;
            case StateStep::tsc:
                restore_tsc(cpu, index, find(state, "tsc"));
                break;
            case StateStep::msrs:
                write_msrs(cpu, values_of<kvm_msr_entry>(find(state, "msrs")));
                break;
            case StateStep::tsc_deadline:
                if (irqchip_ && state.find("tsc-deadline") != nullptr)
                    write_msrs(cpu, values_of<kvm_msr_entry>(find(state, "tsc-deadline")));
                break;
            case StateStep::mp_state:
                if (state.find("mp-state") != nullptr)
                    restore<kvm_mp_state>(state, cpu, KVM_SET_MP_STATE, "KVM_SET_MP_STATE", "mp-state");
                break;
            case StateStep::regs:
                restore<kvm_regs>(state, cpu, KVM_SET_REGS, "KVM_SET_REGS", "regs");
                break;
            case StateStep::vcpu_events:
                if (state.find("vcpu-events") != nullptr)
                    restore<kvm_vcpu_events>(state, cpu, KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", "vcpu-events");
                break;
            case StateStep::irqchip:
            case StateStep::pit:
            case StateStep::clock:
                break;
        }
    }
}

VmState StateIo::save_vm() {
    VmState state;
    state.accelerator = "kvm";
    if (irqchip_) {
        std::array<kvm_irqchip, irqchips.size()> chips{};
        for (std::size_t i = 0; i < chips.size(); ++i) {
            chips[i].chip_id = irqchips[i];
            if (vm_.control(KVM_GET_IRQCHIP, &chips[i]) != 0) ioctl_failed("KVM_GET_IRQCHIP");
        }
        put(state, "irqchip", chips.data(), chips.size());
    }
    if (pit_) save<kvm_pit_state2>(state, vm_, KVM_GET_PIT2, "KVM_GET_PIT2", "pit");
    if (host().clock) save<kvm_clock_data>(state, vm_, KVM_GET_CLOCK, "KVM_GET_CLOCK", "clock");
    return state;
}

void StateIo::restore_vm(const VmState& state) {
    check_origin(state);
    for (const StateStep step : vm_restore_order) {
        if (step == StateStep::irqchip && irqchip_) {
            for (auto& chip : values_of<kvm_irqchip>(find(state, "irqchip"))) {
                if (vm_.control(KVM_SET_IRQCHIP, &chip) != 0) ioctl_failed("KVM_SET_IRQCHIP");
            }
        } else if (step == StateStep::pit && pit_) {
            restore<kvm_pit_state2>(state, vm_, KVM_SET_PIT2, "KVM_SET_PIT2", "pit");
        } else if (step == StateStep::clock && state.find("clock") != nullptr) {
            auto clock = value_of<kvm_clock_data>(find(state, "clock"));
            clock.flags = 0;  // otherwise the kernel adds the time that has passed meanwhile
            if (vm_.control(KVM_SET_CLOCK, &clock) != 0) ioctl_failed("KVM_SET_CLOCK");
        }
    }
}

}  // namespace asyncvm::kvm
