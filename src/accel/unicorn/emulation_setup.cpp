// How an Emulation comes to be: its memory, its hooks, the state that the guest starts in.
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <utility>

#include "accel/unicorn/containment.hpp"
#include "accel/unicorn/cpuid.hpp"
#include "accel/unicorn/emulation.hpp"
#include "accel/unicorn/state.hpp"
#include "x86/bits.hpp"

namespace asyncvm::unicorn {

namespace {

/// As many bits as an x86 physical address can have.
constexpr std::uint64_t end_of_memory = std::uint64_t{1} << 52;

}  // namespace

Emulation::Emulation(std::unique_ptr<Engine> engine, unsigned index, const GuestMemory* memory, const Registers& start,
                     const std::atomic<bool>& kicked, HostWrites& host_writes)
    : engine_(std::move(engine)),
      index_(index),
      memory_(memory),
      started_(start),
      kicked_(kicked),
      host_writes_(host_writes),
      fiber_([this] { body(); }) {
    check_settable(start);
    // On the fiber too: all of Unicorn runs there.
    prepare_thread();
    forget_code_buffer();
    fiber_.resume();
    if (fiber_.left() != nullptr) {
        Engine::abandon(std::move(engine_));
        if (const auto size = refused_code_buffer(); size != 0) {
            throw NoMemory(
                fmt::format("cannot set the processor up: the host has no {} MiB of addresses for translated code "
                            "(take fewer vCPUs with --cpus, or raise the limit that `ulimit -v` shows)",
                            size >> 20));
        }
        throw Error(ErrorKind::host, fmt::format("cannot set the processor up: {}", fiber_.left()));
    }
    if (setup_failure_) {
        // After some failures Unicorn can't close its engine: it would free memory twice.
        Engine::abandon(std::move(engine_));
        std::rethrow_exception(setup_failure_);
    }
    engine_->note_code_buffer();
}

void Emulation::set_up() {
    map_memory();
    add_hooks();
    load_start_state(started_);
}

void Emulation::map_memory() {
    uc_engine* const uc = engine_->get();
    std::uint64_t free_from = 0;
    const auto devices_until = [&](std::uint64_t end) {
        if (free_from < end) {
            device_ranges_.push_back(std::make_unique<DeviceRange>(DeviceRange{this, free_from, end - free_from}));
            map_device_range(*device_ranges_.back());
        }
    };
    if (memory_ != nullptr) {
        for (const GuestMemory::Region& region : memory_->regions()) {
            if (region.address > stub_base && free_from <= stub_base) {
                devices_until(stub_base);
                free_from = stub_base + stub_size;
            }
            devices_until(region.address);
            Engine::check(uc_mem_map_ptr(uc, region.address, region.bytes.size(), UC_PROT_ALL, region.bytes.data()),
                          "cannot map the guest's memory");
            free_from = region.address + region.bytes.size();
        }
    }
    if (free_from <= stub_base) {
        devices_until(stub_base);
        free_from = stub_base + stub_size;
    }
    devices_until(end_of_memory);
}

void Emulation::map_device_range(DeviceRange& range) {
    uc_engine* const uc = engine_->get();
    Engine::check(uc_mmio_map(uc, range.base, range.size, on_mmio_read, &range, on_mmio_write, &range),
                  "cannot map the devices' addresses");
    // Without any permission each access comes to a hook first, as a whole.
    Engine::check(uc_mem_protect(uc, range.base, range.size, UC_PROT_NONE), "cannot protect the devices' addresses");
}

template <typename Callback>
uc_hook Emulation::add_hook(int type, Callback* callback) {
    uc_hook made = 0;
    Engine::check(uc_hook_add(engine_->get(), &made, type, reinterpret_cast<void*>(callback), this, 1, 0),
                  "cannot add a hook");
    return made;
}

template <typename Callback>
void Emulation::hook_instruction(uc_x86_insn instruction, Callback* callback) {
    uc_hook made = 0;
    Engine::check(
        uc_hook_add(engine_->get(), &made, UC_HOOK_INSN, reinterpret_cast<void*>(callback), this, 1, 0, instruction),
        "cannot add a hook for an instruction");
}

void Emulation::add_hooks() {
    instruction_hook_ = add_hook(UC_HOOK_CODE, on_instruction);
    add_hook(UC_HOOK_BLOCK, on_block);
    add_hook(UC_HOOK_INTR, on_exception);
    add_hook(UC_HOOK_INSN_INVALID, on_invalid);
    add_hook(UC_HOOK_MEM_PROT, on_device_memory);
    add_hook(UC_HOOK_MEM_UNMAPPED, on_unmapped);
    hook_instruction(UC_X86_INS_IN, on_in);
    hook_instruction(UC_X86_INS_OUT, on_out);
    hook_instruction(UC_X86_INS_CPUID, on_cpuid);
    hook_instruction(UC_X86_INS_SYSCALL, on_syscall);
    hook_instruction(UC_X86_INS_SYSENTER, on_syscall);
}

/// Hooks of memory make each access slower, and disturb far returns in real mode: they are there only while paging is on.
void Emulation::switch_page_checks() {
    const bool wanted = (cr0_ & cr0_pg) != 0;
    if (wanted && !page_checks_) {
        page_check_hook_ = add_hook(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, on_memory);
        paging_.cr3 = engine_->read(UC_X86_REG_CR3);
        paging_.cr4 = engine_->read(UC_X86_REG_CR4);
    } else if (!wanted && page_checks_) {
        uc_hook_del(engine_->get(), page_check_hook_);
        reconfigure_ = true;  // the hook is really gone after the next uc_emu_start; what was translated until then goes too
    }
    page_checks_ = wanted;
    code_low_ = 1, code_high_ = 0;
    // Drops everything that was translated without, or with, the hook: all of it has this one. Unicorn's own call for that
    // writes zeros over a buffer of 1 GiB.
    uc_hook_del(engine_->get(), instruction_hook_);
    instruction_hook_ = add_hook(UC_HOOK_CODE, on_instruction);
}

void Emulation::load_start_state(const Registers& start) {
    run_stub(write_start_stub(stub_->bytes, start));
    write_state(*engine_, memory_, start);
    rip_ = start.rip;
    cr0_ = engine_->read(UC_X86_REG_CR0);
    cs_ = engine_->read(UC_X86_REG_CS);
    cs_base_ = start.cs.long_mode && (start.efer & efer_lma) != 0 ? 0 : start.cs.base;
    linear_ = cs_base_ + rip_;
    paging_.cr0 = cr0_;
    paging_.efer = engine_->read_msr(msr_efer);
    if ((cr0_ & cr0_pg) != 0) switch_page_checks();
}

void Emulation::run_stub(std::uint64_t rip) {
    uc_engine* const uc = engine_->get();
    if (stub_range_mapped_) Engine::check(uc_mem_unmap(uc, stub_base, stub_size), "cannot unmap a range");
    stub_range_mapped_ = false;
    Engine::check(uc_mem_map_ptr(uc, stub_base, stub_size, UC_PROT_ALL, stub_->bytes.data()), "cannot map memory");
    in_stub_ = entering_ = true;
    code_low_ = 1, code_high_ = 0;
    const uc_err error = uc_emu_start(uc, rip, 0, 0, 0);
    in_stub_ = false;
    Engine::check(uc_mem_unmap(uc, stub_base, stub_size), "cannot unmap memory");
    map_device_range(stub_range_);
    stub_range_mapped_ = true;
    Engine::check(error, "cannot set the processor's state");
    if (std::exchange(exception_, std::nullopt)) {
        throw Error(ErrorKind::host, "Unicorn: the processor does not take the guest's initial state");
    }
}

void Emulation::on_exception(uc_engine*, std::uint32_t vector, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    emulation.exception_ = vector;
    emulation.stop_engine();
}

bool Emulation::on_invalid(uc_engine*, void* self) noexcept {
    constexpr unsigned invalid_opcode = 6;
    static_cast<Emulation*>(self)->exception_ = invalid_opcode;
    return true;  // Unicorn stops without an error of its own
}

int Emulation::on_cpuid(uc_engine*, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    Engine& engine = *emulation.engine_;
    const Cpuid answer = cpuid(static_cast<std::uint32_t>(engine.read(UC_X86_REG_RAX)),
                               static_cast<std::uint32_t>(engine.read(UC_X86_REG_RCX)), emulation.index_);
    engine.write(UC_X86_REG_RAX, answer.eax);
    engine.write(UC_X86_REG_RBX, answer.ebx);
    engine.write(UC_X86_REG_RCX, answer.ecx);
    engine.write(UC_X86_REG_RDX, answer.edx);
    return 1;  // not Unicorn's own
}

void Emulation::on_syscall(uc_engine*, void* self) noexcept {
    static_cast<Emulation*>(self)->refuse("SYSCALL and SYSENTER");
}

}  // namespace asyncvm::unicorn
