/// vCPUs that stop for a debugger as kvm-intel and kvm-amd have them do on real processors (Linux, arch/x86/kvm: vmx.c and
/// svm.c, the exceptions 1 and 3; tools/testing/selftests/kvm, debug_regs.c). The hosts of the other tests deliver less.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "accel/kvm/conversion.hpp"
#include "x86/linear.hpp"
#include "x86/page_walk.hpp"

namespace asyncvm::test {

/// What the guests have seen of debugging, and what KVM has been told. Any thread.
struct Seen {
    std::mutex mutex;
    std::vector<std::uint64_t> int3s;        ///< the guest's own: where it went on
    std::vector<std::uint64_t> debug_traps;  ///< its own exceptions 1: DR6 in the handler
    std::vector<std::uint32_t> controls;     ///< of KVM_SET_GUEST_DEBUG
    std::atomic<std::uint64_t> executed = 0;
    std::atomic<std::uint64_t> entered_elsewhere = 0;  ///< by run_within()
};

/// NOP, INC, JMP, INT3, HLT and loads and stores of physical memory, in flat code of 32 and 64 bits. The guest's handlers
/// return at once, that of its debug exception without the trap flag.
class UsualCpu : public Cpu {
public:
    /// `memory` points to the guest's memory when the guest begins.
    UsualCpu(Seen& seen, const GuestMemory* const& memory) : seen_(seen), memory_(memory) {}

    Exit run() override {
        deliver();
        for (;;) {
            if (kicked_.exchange(false)) return Interrupted{};
            if (const std::uint64_t hit = breakpoints(0b00, linear_pc(now_), 1); hit != 0)
                return debug_exit(debug_exception, hit);
            bool halted = false;
            const std::uint8_t code = at(linear_pc(now_));
            if (code == 0xcc && (told_.control & KVM_GUESTDBG_USE_SW_BP) != 0) return debug_exit(breakpoint_exception, 0);
            const bool own_steps = (now_.rflags & trap_flag) != 0;
            const std::uint64_t hit = execute(code, halted);
            ++seen_.executed;
            if (halted) return Halted{};
            const bool steps = own_steps || (told_.control & KVM_GUESTDBG_SINGLESTEP) != 0;
            const std::uint64_t why = hit | (steps ? dr6_single_step : 0);
            if (why == 0) continue;
            if ((told_.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP)) != 0)
                return debug_exit(debug_exception, why);
            trap(why);
        }
    }
    std::optional<Exit> run_within(std::chrono::nanoseconds) override {
        ++seen_.entered_elsewhere;
        return run();
    }
    void complete_exit() override {}
    void kick() noexcept override { kicked_ = true; }
    Registers registers() override { return now_; }
    void set_registers(const Registers& registers) override { now_ = registers; }
    bool set_debug(const GuestDebug& debug) override {
        told_ = kvm::to_guest_debug(debug);
        dr6_ |= debug.inject_debug;
        const std::lock_guard lock(seen_.mutex);
        seen_.controls.push_back(told_.control);
        return true;
    }
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override { return now_.rip; }

private:
    static constexpr std::uint32_t debug_exception = 1;
    static constexpr std::uint32_t breakpoint_exception = 3;
    static constexpr std::uint64_t trap_flag = 1u << 8;
    static constexpr std::uint64_t dr6_single_step = 1u << 14;
    static constexpr std::uint64_t dr6_ones = 0xffff'0ff0;

    /// The page that the kernel fills, as it does: of exception 3 only the place is told, and the sum that makes it is not
    /// cut to 32 bits on AMD's processors, and was not on Intel's either.
    Exit debug_exit(std::uint32_t exception, std::uint64_t dr6) {
        page_.exit_reason = KVM_EXIT_DEBUG;
        page_.debug.arch.exception = exception;
        page_.debug.arch.pc = in_64_bits(now_) ? now_.rip : now_.cs.base + now_.rip;
        if (exception == debug_exception) {
            page_.debug.arch.dr6 = dr6 | dr6_ones;
            page_.debug.arch.dr7 = told_.arch.debugreg[7];
        } else {
            page_.debug.arch.dr6 = page_.debug.arch.dr7 = ~std::uint64_t{};
        }
        return kvm::decode_exit(page_);
    }

    /// What KVM_GUESTDBG_INJECT_BP and _DB have asked for, once.
    void deliver() {
        if ((told_.control & KVM_GUESTDBG_INJECT_BP) != 0) own_int3();
        if ((told_.control & KVM_GUESTDBG_INJECT_DB) != 0) trap(0);
        told_.control &= ~static_cast<std::uint32_t>(KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB);
    }
    void own_int3() {
        now_.rip += 1;
        const std::lock_guard lock(seen_.mutex);
        seen_.int3s.push_back(linear_pc(now_));
    }
    void trap(std::uint64_t why) {
        dr6_ |= why;
        now_.rflags &= ~trap_flag;
        const std::lock_guard lock(seen_.mutex);
        seen_.debug_traps.push_back(std::exchange(dr6_, 0));
    }

    /// The debug registers that are meant for such an access, as bits of DR6.
    [[nodiscard]] std::uint64_t breakpoints(std::uint64_t kind, std::uint64_t address, std::uint64_t size) const {
        std::uint64_t hit = 0;
        const std::uint64_t dr7 = told_.arch.debugreg[7];
        for (unsigned slot = 0; slot < 4; ++slot) {
            const std::uint64_t wanted = dr7 >> (16 + 4 * slot) & 0b11;
            constexpr std::uint64_t lengths[] = {1, 2, 8, 4};
            const std::uint64_t length = lengths[dr7 >> (18 + 4 * slot) & 0b11];
            const std::uint64_t start = told_.arch.debugreg[slot];
            const bool both = wanted == 0b11 && kind == 0b01;
            if ((dr7 >> (2 * slot) & 0b11) == 0 || (wanted != kind && !both)) continue;
            if (address < start + length && start < address + size) hit |= std::uint64_t{1} << slot;
        }
        return hit;
    }

    /// One instruction; returns the watchpoints that it meets.
    std::uint64_t execute(std::uint8_t code, bool& halted) {
        constexpr std::uint64_t reads = 0b11;
        constexpr std::uint64_t writes = 0b01;
        if (code == 0xcc) {
            own_int3();
            return 0;
        }
        const auto relative = static_cast<std::int8_t>(at(linear_pc(now_) + 1));
        std::uint64_t hit = 0;
        std::uint64_t length = 1;
        if (code == 0x40) {  // inc eax
            ++now_.rax;
        } else if (code == 0xeb) {  // jmp
            length = 2 + static_cast<std::uint64_t>(std::int64_t{relative});
        } else if (code == 0xff || code == 0x8b) {  // inc dword [ebx]; mov eax, [ebx]
            std::uint32_t value = 0;
            std::byte* const place = memory_->try_at(now_.rbx, sizeof value).data();
            std::memcpy(&value, place, sizeof value);
            length = 2;
            hit = breakpoints(code == 0xff ? writes : reads, now_.rbx, sizeof value);
            if (code == 0xff) ++value;
            std::memcpy(place, &value, sizeof value);
            if (code == 0x8b) now_.rax = value;
        } else if (code == 0xf4) {
            halted = true;
        }
        now_.rip += length;
        if (!in_64_bits(now_)) now_.rip &= 0xffff'ffff;
        return hit;
    }

    /// What the guest executes, which is not what GuestMemory::read() shows.
    [[nodiscard]] std::uint8_t at(std::uint64_t address) const {
        return std::to_integer<std::uint8_t>(memory_->try_at(translate(*memory_, now_, address).physical, 1).front());
    }

    Seen& seen_;
    const GuestMemory* const& memory_;
    Registers now_;
    std::uint64_t dr6_ = 0;
    kvm_guest_debug told_{};
    kvm_run page_{};
    std::atomic<bool> kicked_ = false;
};

class UsualHost : public Accelerator {
public:
    explicit UsualHost(Seen& seen) : seen_(seen) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "kvm"; }
    void map(const GuestMemory& memory) override { memory_ = &memory; }
    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned) override { return std::make_unique<UsualCpu>(seen_, memory_); }

private:
    Seen& seen_;
    const GuestMemory* memory_ = nullptr;
};

}  // namespace asyncvm::test
