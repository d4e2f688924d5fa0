/// What runs the guest's instructions.
#pragma once

#include <asyncvm/coalesced_ring.hpp>
#include <asyncvm/cpu_state.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/fpu_registers.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/interrupt_controller.hpp>
#include <asyncvm/interrupt_state.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/registers.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// What makes a guest stop for its debugger, with the exit Debug.
struct GuestDebug {
    bool single_step = false;
    bool block_interrupts = false;               ///< during single steps, where the accelerator can
    bool software_breakpoints = false;           ///< INT3 stops the guest and is no exception of its own
    std::array<std::uint64_t, 4> breakpoints{};  ///< linear addresses, of DR0 to DR3
    std::uint64_t dr7 = 0;                       ///< which of them count, and for what (Intel SDM vol. 3, 18.2.4)
    bool inject_breakpoint = false;              ///< once: the INT3 that has stopped the guest is its own after all
    std::uint64_t inject_debug = 0;              ///< once: the debug exception is, which sets these bits of the guest's DR6

    friend bool operator==(const GuestDebug&, const GuestDebug&) = default;
};

/// What a vCPU does that stays in run().
enum class Activity : std::uint8_t {
    runs,                  ///< executes instructions, or is about to
    not_started,           ///< waits for another vCPU to start it (INIT, SIPI)
    sleeps,                ///< HLT, and a timer, a device or a message may interrupt it
    sleeps_uninterrupted,  ///< HLT with interrupts on, but nothing is set up that could raise one
    sleeps_for_good,       ///< HLT with interrupts off
};

/// One vCPU. All functions but kick() are called on one thread at a time, which may be another one each time.
class Cpu {
public:
    Cpu() = default;
    Cpu(const Cpu&) = delete;
    Cpu& operator=(const Cpu&) = delete;
    virtual ~Cpu() = default;

    /// Enters the guest and returns at its next exit. A read that the previous exit asked for is completed first, with what
    /// is in its data.
    [[nodiscard]] virtual Exit run() = 0;

    /// The same on a thread that has other work: returns Interrupted when the guest has not exited for `limit`. Nothing, and
    /// the guest has not been entered, where the accelerator can't.
    [[nodiscard]] virtual std::optional<Exit> run_within([[maybe_unused]] std::chrono::nanoseconds limit) {
        return std::nullopt;
    }

    /// Completes the previous exit (the guest sees the data of its read, RIP moves past the instruction) without running the
    /// guest any further. Call it before registers() after an exit, and before the last owner lets the vCPU go.
    virtual void complete_exit() = 0;

    /// Any thread: makes a run() that is under way, or else the next one, return Interrupted soon. Never lost, whichever
    /// thread run() is called on. An access whose instruction makes another one (a read, then a write) returns that first,
    /// and Interrupted when the instruction is done.
    virtual void kick() noexcept = 0;

    /// Throws Error(host).
    [[nodiscard]] virtual Registers registers() = 0;
    virtual void set_registers(const Registers& registers) = 0;

    /// Nothing where the accelerator can't tell. Throws Error(host).
    [[nodiscard]] virtual std::optional<FpuRegisters> fpu_registers() { return std::nullopt; }
    /// FpuRegisters::avx stays as it is. Returns false where the accelerator can't. Throws Error(host).
    virtual bool set_fpu_registers([[maybe_unused]] const FpuRegisters& registers) { return false; }

    /// The values of these MSRs; nothing for one that this vCPU does not have, or that the accelerator does not show. Throws
    /// Error(host).
    [[nodiscard]] virtual std::vector<std::optional<std::uint64_t>> read_msrs(std::span<const std::uint32_t> indices) {
        return std::vector<std::optional<std::uint64_t>>(indices.size());
    }
    /// Returns false for a value that it does not take, and where the accelerator can't. Throws Error(host).
    virtual bool write_msr([[maybe_unused]] std::uint32_t index, [[maybe_unused]] std::uint64_t value) { return false; }

    /// What the interrupt controllers hold that the accelerator has; nothing where it has none. Throws Error(host).
    [[nodiscard]] virtual std::optional<InterruptState> interrupt_state() { return std::nullopt; }

    /// From the next run() on; all members unset: no debugging. Returns false where the accelerator can't.
    virtual bool set_debug([[maybe_unused]] const GuestDebug& debug) { return false; }

    /// A non-maskable interrupt, at the next run(); a vCPU that sleeps in run() wakes. Returns false where the accelerator
    /// can't.
    virtual bool raise_nmi() { return false; }

    /// All that the guest can notice of this vCPU. No access may be pending: run() has returned Interrupted since the last
    /// one, or complete_exit() was called, which drops what else the same instruction writes. Throws std::logic_error if one
    /// is, Error(host).
    [[nodiscard]] virtual CpuState save_state() {
        throw Error(ErrorKind::host, "this accelerator can't save the state of a vCPU");
    }

    /// The guest goes on as it was then, from the memory that it had then. After Accelerator::map(); a pending access is
    /// dropped. Where the host can, the time stamp counter goes on from its saved value, and the counters of vCPUs that are
    /// restored one after the other keep their distance. Throws Error(usage) for a state of another accelerator or that
    /// lacks something, and Error(host) for one that this host does not take; then the vCPU must not run.
    virtual void restore_state([[maybe_unused]] const CpuState& state) {
        throw Error(ErrorKind::host, "this accelerator can't restore the state of a vCPU");
    }

    /// Between two exits: what the guest does, as far as the vCPU can tell; another vCPU may interrupt or start it in any
    /// case. Without an interrupt controller a vCPU that has halted sleeps for good or uninterrupted. Throws Error(host).
    [[nodiscard]] virtual Activity activity() {
        constexpr std::uint64_t interrupt_flag = 1u << 9;
        return (registers().rflags & interrupt_flag) != 0 ? Activity::sleeps_uninterrupted : Activity::sleeps_for_good;
    }

    /// RIP as it was at the last exit, without a system call; 0 where the accelerator can't tell.
    [[nodiscard]] virtual std::uint64_t exit_rip() const noexcept = 0;
};

/// Outlives its vCPUs.
class Accelerator {
public:
    Accelerator() = default;
    Accelerator(const Accelerator&) = delete;
    Accelerator& operator=(const Accelerator&) = delete;
    virtual ~Accelerator() = default;

    /// "kvm", "unicorn".
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    /// Makes all regions of `memory` visible to the guest. Once, before a vCPU runs; create_cpu() may be at work on another
    /// thread. `memory` must outlive the object.
    virtual void map(const GuestMemory& memory) = 0;

    /// `index` counts from 0 and is the vCPU's initial APIC ID. Throws Error(host).
    [[nodiscard]] virtual std::unique_ptr<Cpu> create_cpu(unsigned index) = 0;

    /// Has a write that `doorbell` describes, at `address`, add one to `eventfd` without stopping the vCPU. Any thread.
    /// Returns false where the accelerator can't: then the write stops the vCPU as any other.
    virtual bool connect_doorbell([[maybe_unused]] Space space, [[maybe_unused]] std::uint64_t address,
                                  [[maybe_unused]] const Doorbell& doorbell, [[maybe_unused]] int eventfd) noexcept {
        return false;
    }

    /// Undoes a connect_doorbell() with the same arguments that has returned true. Any thread.
    virtual void disconnect_doorbell([[maybe_unused]] Space space, [[maybe_unused]] std::uint64_t address,
                                     [[maybe_unused]] const Doorbell& doorbell, [[maybe_unused]] int eventfd) noexcept {}

    /// What collects writes; null where the accelerator can't. After the first create_cpu(); it lives as long as this
    /// object.
    [[nodiscard]] virtual CoalescedRing* posted_writes() noexcept { return nullptr; }

    /// The machine's interrupt controllers; null where there are none. They are there before the first create_cpu() and live
    /// as long as this object.
    [[nodiscard]] virtual InterruptController* irqchip() noexcept { return nullptr; }

    /// What the vCPUs share. While none of them runs. Throws Error(host).
    [[nodiscard]] virtual VmState save_state() {
        throw Error(ErrorKind::host, "this accelerator can't save the state of a machine");
    }

    /// After Cpu::restore_state() of each vCPU, before one of them runs. Throws as that does.
    virtual void restore_state([[maybe_unused]] const VmState& state) {
        throw Error(ErrorKind::host, "this accelerator can't restore the state of a machine");
    }
};

/// Makes an accelerator, on any thread. Throws Error.
using AcceleratorMaker = std::function<std::unique_ptr<Accelerator>()>;

struct KvmOptions {
    const char* path = "/dev/kvm";
    /// What the guest's CPUID shows: "+NAME" and "-NAME", separated by commas, changes to what the host supports.
    /// docs/hosts.md lists the names. A change that the guest would not see is an error: Error(host), or Error(usage) if no
    /// KVM can make it.
    std::string cpu_features{};
    /// Interrupt controllers in the kernel: two 8259A (ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1), an IOAPIC (0xfec00000)
    /// and a local APIC for each vCPU (0xfee00000). HLT then waits for an interrupt and is no exit, and all vCPUs but the
    /// first wait until the guest starts them (INIT, SIPI). Without them CPUID shows no local APIC, and IA32_APIC_BASE is 0.
    bool irqchip = false;
    /// With irqchip: the number of vCPUs that CPUID shows, as cores of one package. Another number than the machine's makes
    /// a guest look for CPUs in vain, or not find them all.
    unsigned cpus = 1;
    /// With irqchip: an 8254 in the kernel as well (ports 0x40 to 0x43, and 0x61), on IRQ 0.
    bool pit = false;
    /// Regions that are mapped before the interrupt controllers are made: afterwards KVM takes some milliseconds for each.
    /// Their memory outlives the accelerator; map() adds the others.
    std::span<const GuestMemory::Region> memory{};
    /// With AcceleratorChoice::automatic: a guest that asks for the interrupt controllers may run without them, on Unicorn.
    bool irqchip_optional = false;
    /// The signal that takes a vCPU's thread out of the guest; 0: SIGRTMIN. An empty handler is installed for it, process-
    /// wide and for good, where the process has none; run() unblocks it on the thread that it is called on. A signal that
    /// the process already handles is refused with Error(usage). Who installs a handler later gets the kicks too, and must
    /// return from it.
    int kick_signal = 0;
};

/// Opens /dev/kvm and makes a virtual machine. Throws Error(host) that says what to do, and Error(usage) for what is wrong
/// in `options`.
[[nodiscard]] std::unique_ptr<Accelerator> make_kvm_accelerator(const KvmOptions& options = {});

/// Begins to ask KVM what takes it long, on another thread, for an accelerator that will be made soon; until then the result
/// is kept. Null where there is nothing to ask: what is wrong is make_kvm_accelerator()'s to say. Any thread. It goes before
/// main() ends; if that is before there is an answer, it waits for it.
[[nodiscard]] std::shared_ptr<void> expect_kvm_accelerator(const KvmOptions& options = {});

struct UnicornOptions {
    /// Unicorn may crash in an instruction. With this the guest is then refused and the process goes on: handlers are
    /// installed, process-wide and for good, for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT, and a vCPU's thread gets a
    /// stack for signals if it has none. Faults elsewhere go to the handlers that were there before. Without it such a crash
    /// ends the process; Unicorn's calls of abort() and exit() are refusals nevertheless.
    bool contain_faults = true;
};

/// Emulates the processor in this process, with Unicorn: needs nothing of the host, is slower, and has no interrupts. What
/// else it lacks is in docs/accelerators.md. Throws Error(host) in a build without it.
[[nodiscard]] std::unique_ptr<Accelerator> make_unicorn_accelerator(const UnicornOptions& options = {});

enum class AcceleratorChoice : std::uint8_t {
    automatic,  ///< KVM where it can be used; otherwise Unicorn, with one line on the log that says so and why
    kvm,
    unicorn,
};

/// "auto", "kvm", "unicorn". Throws Error(usage).
[[nodiscard]] AcceleratorChoice parse_accelerator_choice(std::string_view text);

/// Throws Error(host); for AcceleratorChoice::automatic what is wrong with KVM and with Unicorn.
[[nodiscard]] std::unique_ptr<Accelerator> make_accelerator(AcceleratorChoice choice, const Log& log,
                                                            const KvmOptions& kvm = {}, const UnicornOptions& unicorn = {});

}  // namespace asyncvm
