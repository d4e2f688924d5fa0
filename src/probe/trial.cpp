#include "probe/trial.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <span>
#include <system_error>
#include <variant>

#include "accel/kvm/cpuid.hpp"
#include "loader/initial_state.hpp"
#include "probe/codes.hpp"
#include "report/disassembler.hpp"

namespace asyncvm::probe {

namespace {

[[noreturn]] void fail(const char* what) {
    throw Error(ErrorKind::host, fmt::format("{} failed: {}", what, std::generic_category().message(errno)));
}

/// KVM gives all the bytes that it has fetched, also those behind the instruction.
std::string describe_emulation(const Failure& failure, unsigned bits) {
    const auto bytes = std::as_bytes(std::span(failure.instruction)).first(failure.instruction_size);
    const auto instructions = disassemble(bytes, code_base, bits);
    if (instructions.empty()) return "KVM can't emulate an instruction";
    std::string text = instructions[0].text;
    for (const auto byte : text.empty() ? instructions[0].bytes : std::span<const std::byte>()) {
        text += fmt::format("{}{:02x}", text.empty() ? "" : " ", std::to_integer<unsigned>(byte));
    }
    return fmt::format("KVM can't emulate {}", text);
}

/// Guests that start a second vCPU in real mode find its code there.
constexpr std::uint64_t ap_base = 0x8000;
constexpr unsigned long tss_address = 0xfffbd000;

}  // namespace

Trial::Trial(const Plan& plan) : mode_(plan.mode), system_(::open("/dev/kvm", O_RDWR | O_CLOEXEC)), memory_(ram_size) {
    if (system_.get() < 0) fail("opening /dev/kvm");
    vm_ = kvm::Fd(system_.control(KVM_CREATE_VM, 0));
    if (vm_.get() < 0) fail("KVM_CREATE_VM");
    run_size_ = static_cast<std::size_t>(system_.control(KVM_GET_VCPU_MMAP_SIZE, 0));
    if (vm_.control(KVM_SET_TSS_ADDR, tss_address) != 0) fail("KVM_SET_TSS_ADDR");
    if (plan.irqchip && vm_.control(KVM_CREATE_IRQCHIP, 0) != 0) fail("KVM_CREATE_IRQCHIP");
    cpuid_ = kvm::supported_cpuid(system_);
    if (plan.edit_cpuid) plan.edit_cpuid(cpuid_);

    const Registers start = initial_registers(memory_, plan.mode, code_base);
    memory_.write(code_base, plan.code);
    memory_.write(ap_base, code::ap());
    std::uint32_t slot = 0;
    for (const GuestMemory::Region& region : memory_.regions()) {
        kvm_userspace_memory_region description{};
        description.slot = slot++;
        description.guest_phys_addr = region.address;
        description.memory_size = region.bytes.size();
        description.userspace_addr = reinterpret_cast<std::uint64_t>(region.bytes.data());
        if (vm_.control(KVM_SET_USER_MEMORY_REGION, &description) != 0) fail("KVM_SET_USER_MEMORY_REGION");
    }
    for (unsigned index = 0; index < plan.cpus; ++index) {
        kvm::Fd fd = make_cpu(index);
        if (index == 0) cpu_fd_ = kvm::Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
        const int sync = capability(KVM_CAP_SYNC_REGS);
        cpus_.push_back(std::make_unique<kvm::KvmCpu>(std::move(fd), run_size_, sync > 0 && (sync & KVM_SYNC_X86_REGS) != 0,
                                                      kvm::claim_kick_signal(0)));
        // With an interrupt controller all vCPUs but the first wait to be started by the guest.
        if (index > 0 && plan.irqchip) continue;
        Registers registers = start;
        registers.rbx = index;
        cpus_.back()->set_registers(registers);
    }
}

kvm::Fd Trial::make_cpu(unsigned index) {
    kvm::Fd fd(vm_.control(KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
    if (fd.get() < 0) fail("KVM_CREATE_VCPU");
    kvm::set_cpuid(fd, cpuid_, index);
    return fd;
}

unsigned Trial::bits() const noexcept { return mode_ == Mode::real16 ? 16 : mode_ == Mode::protected32 ? 32 : 64; }

Exit next_exit(Cpu& cpu, const Watchdog& watchdog) {
    for (;;) {
        Exit exit = cpu.run();
        if (!std::holds_alternative<Interrupted>(exit) || watchdog.expired()) return exit;
    }
}

std::string describe(const Exit& exit, const Watchdog& watchdog, unsigned bits) {
    if (std::holds_alternative<ShutDown>(exit)) return "shut down at once (triple fault)";
    if (std::holds_alternative<Halted>(exit)) return "halted without the expected result";
    if (std::holds_alternative<Interrupted>(exit)) {
        return watchdog.was_busy() ? fmt::format("no exit within {} ms: it loops", Watchdog::patience.count())
                                   : "waits for ever";
    }
    if (const auto* debug = std::get_if<Debug>(&exit)) return fmt::format("unexpected debug exit at {:#x}", debug->rip);
    if (const auto* failure = std::get_if<Failure>(&exit)) {
        if (failure->kind == Failure::Kind::emulation) return describe_emulation(*failure, bits);
        return fmt::format("KVM failed (kind {}, code {})", static_cast<int>(failure->kind), failure->code);
    }
    return "unexpected exit";
}

Verdict judge(Trial& trial, const std::function<bool(const Exit&)>& on_exit) {
    constexpr int most_exits = 1000;
    const Watchdog watchdog(trial.cpu());
    for (int exits = 0; exits < most_exits; ++exits) {
        const Exit exit = next_exit(trial.cpu(), watchdog);
        const auto* const port = std::get_if<PortAccess>(&exit);
        if (port != nullptr && port->address == verdict_port && port->direction == Direction::write) {
            const bool right = std::to_integer<int>(port->data[0]) == 1;
            trial.cpu().complete_exit();
            return {right, right ? "" : "the guest saw a wrong result"};
        }
        if (on_exit && on_exit(exit)) return {true, {}};
        if (port == nullptr && !std::holds_alternative<MmioAccess>(exit))
            return {false, describe(exit, watchdog, trial.bits())};
    }
    return {false, "too many exits"};
}

}  // namespace asyncvm::probe
