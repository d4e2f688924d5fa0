// Hooks of Emulation that look at memory: devices, page tables, and what lies nowhere.
#include <algorithm>
#include <array>

#include "accel/unicorn/emulation.hpp"
#include "x86/bits.hpp"
#include "x86/page_walk.hpp"

namespace asyncvm::unicorn {

namespace {

constexpr std::uint64_t page_mask = ~std::uint64_t{0xfff};
constexpr std::string_view not_identity = "page tables that do not map each address to itself";

}  // namespace

/// For each block of the guest's code, before its first instruction: modes change only between blocks.
void Emulation::on_block(uc_engine*, std::uint64_t address, std::uint32_t, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    if (emulation.in_stub_ || emulation.failure_) return;
    const Engine& engine = *emulation.engine_;
    if (engine.read(UC_X86_REG_CR0) != emulation.cr0_ || engine.read(UC_X86_REG_CS) != emulation.cs_) {
        emulation.mode_changed(address);
    }
    if (!emulation.page_checks_) return;
    // As on a processor, a changed page table counts at the latest after the instruction that says so, which ends a block.
    emulation.paging_.cr3 = engine.read(UC_X86_REG_CR3);
    emulation.paging_.cr4 = engine.read(UC_X86_REG_CR4);
    emulation.block_ = (emulation.block_ + 1) & ~page_mask;
    if (emulation.block_ == 0) {
        emulation.identity_pages_.fill(0);
        emulation.block_ = 1;
    }
    emulation.code_low_ = 1, emulation.code_high_ = 0;
}

void Emulation::mode_changed(std::uint64_t address) {
    cr0_ = engine_->read(UC_X86_REG_CR0);
    cs_ = engine_->read(UC_X86_REG_CS);
    // What changes a mode or CS is never chained to the next block, so that RIP is exact here.
    cs_base_ = address - engine_->read(UC_X86_REG_RIP);
    linear_ = address;
    paging_.cr0 = cr0_;
    paging_.efer = engine_->read_msr(msr_efer);
    if ((cr0_ & cr0_pe) != 0) {
        if ((engine_->read(UC_X86_REG_EFLAGS) & rflags_vm) != 0) return refuse("virtual-8086 mode");
        if ((cs_ & 3) != 0) return refuse("user mode");
    }
    code_low_ = 1, code_high_ = 0;
    reconfigure_ = ((cr0_ & cr0_pg) != 0) != page_checks_;
}

/// Also true where the page is not present: the processor makes a page fault of that.
bool Emulation::page_is_identity(std::uint64_t address) {
    const std::uint64_t page = address & page_mask;
    std::uint64_t& known = identity_pages_[(page >> 12) % identity_pages_.size()];
    if (known == page + block_) return true;
    if (memory_ == nullptr) return false;
    const PageWalk walk = translate(*memory_, paging_, address);
    if (walk.status == PageWalk::Status::table_outside) return false;
    if (walk.status != PageWalk::Status::mapped) return true;
    if ((walk.physical & page_mask) != page) return false;
    known = page + block_;
    return true;
}

/// Before each access to memory while paging is on.
void Emulation::on_memory(uc_engine*, uc_mem_type, std::uint64_t address, int size, std::int64_t, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    if (emulation.in_stub_ || emulation.failure_) return;
    const std::uint64_t last = address + static_cast<unsigned>(size) - 1;
    const bool one_page = ((address ^ last) & page_mask) == 0;
    if (!emulation.page_is_identity(address) || (!one_page && !emulation.page_is_identity(last)))
        emulation.refuse(not_identity);
}

/// Unicorn lets the guest run NOPs where code would have to come from a device.
void Emulation::check_code(std::uint64_t address, std::uint32_t size) {
    const std::uint64_t bytes = size >= 1 && size <= 15 ? size : 1;
    if (page_checks_ && (!page_is_identity(address) || !page_is_identity(address + bytes - 1))) return refuse(not_identity);
    if (memory_ != nullptr) {
        for (const GuestMemory::Region& region : memory_->regions()) {
            if (address < region.address || address + bytes > region.address + region.bytes.size()) continue;
            code_low_ = region.address;
            code_high_ = region.address + region.bytes.size();
            if (page_checks_) {
                code_low_ = std::max(code_low_, address & page_mask);
                code_high_ = std::min(code_high_, (address & page_mask) + ~page_mask + 1);
            }
            return;
        }
    }
    refuse("an instruction lies where there is no memory");
}

/// The guest's access as a whole. Unicorn then asks on_mmio_read or on_mmio_write for pieces.
bool Emulation::on_device_memory(uc_engine*, uc_mem_type type, std::uint64_t address, int size, std::int64_t value,
                                 void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    if (type != UC_MEM_FETCH_PROT) {
        const auto direction = type == UC_MEM_WRITE_PROT ? Direction::write : Direction::read;
        // Before INS reads its port it writes a 0, to find out whether there will be a page fault. No device may see that.
        if (direction == Direction::write && !emulation.input_read_ && emulation.is_string_input()) {
            emulation.joiner_.reset();
            return true;
        }
        emulation.joiner_.begin(direction, address, static_cast<unsigned>(size), static_cast<std::uint64_t>(value));
    }
    return true;
}

/// Whether the current instruction is INS.
bool Emulation::is_string_input() const {
    constexpr std::array<std::uint8_t, 10> prefixes{0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3};
    const bool wide = (paging_.efer & efer_lma) != 0;
    for (std::uint64_t at = linear_; memory_ != nullptr && at < linear_ + 15; ++at) {
        const auto bytes = memory_->try_at(at, 1);
        if (bytes.empty()) return false;
        const auto byte = std::to_integer<std::uint8_t>(bytes[0]);
        const bool rex = wide && (byte & 0xf0) == 0x40;
        if (!rex && std::ranges::find(prefixes, byte) == prefixes.end()) return byte == 0x6c || byte == 0x6d;
    }
    return false;
}

std::uint64_t Emulation::on_mmio_read(uc_engine*, std::uint64_t offset, unsigned size, void* range) noexcept {
    auto& [self, base, range_size] = *static_cast<DeviceRange*>(range);
    Joiner& joiner = self->joiner_;
    if (self->failure_ || self->quitting_) return ~std::uint64_t{0};
    // Neither does code come from devices (see check_code), nor do page tables (see page_is_identity).
    if (!joiner.active() || joiner.direction() != Direction::read) return 0x9090'9090'9090'9090;
    const Joiner::Part part = joiner.part_for(base + offset);
    if (part.size != 0) {
        std::byte* const data = joiner.data().data() + part.offset;
        std::fill_n(data, part.size, std::byte{0xff});
        self->access(Space::memory, Direction::read, part.address, part.size, data);
    }
    return joiner.piece(base + offset, size);
}

void Emulation::on_mmio_write(uc_engine*, std::uint64_t offset, unsigned, std::uint64_t, void* range) noexcept {
    auto& [self, base, range_size] = *static_cast<DeviceRange*>(range);
    Joiner& joiner = self->joiner_;
    if (self->failure_ || self->quitting_ || !joiner.active() || joiner.direction() != Direction::write) return;
    const Joiner::Part part = joiner.part_for(base + offset);
    if (part.size == 0) return;
    self->access(Space::memory, Direction::write, part.address, part.size, joiner.data().data() + part.offset);
}

/// Addresses that no physical address equals. Unicorn comes here before it looks at the page tables.
bool Emulation::on_unmapped(uc_engine*, uc_mem_type type, std::uint64_t address, int, std::int64_t, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    if (emulation.failure_ || emulation.exception_ || emulation.memory_ == nullptr) return false;
    const PageWalk walk = translate(*emulation.memory_, emulation.paging_, address);
    const bool fetch = type == UC_MEM_FETCH_UNMAPPED;
    constexpr unsigned general_protection = 13, page_fault = 14;
    if (walk.status == PageWalk::Status::not_canonical) {
        emulation.raise_unmapped(address, general_protection, fetch);
    } else if (walk.status == PageWalk::Status::not_present) {
        emulation.raise_unmapped(address, page_fault, fetch);
    } else {
        emulation.refuse(not_identity);
    }
    return false;
}

void Emulation::raise_unmapped(std::uint64_t address, unsigned vector, bool fetch) noexcept {
    if (vector == 14) engine_->write(UC_X86_REG_CR2, address);
    exception_ = vector;
    at_instruction_ = !fetch;
    stop_engine();
}

}  // namespace asyncvm::unicorn
