#include "boot/apply.hpp"

#include "boot/initial_state.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::boot {

namespace {

/// Throws for what a planner should have refused: a plan is never half placed.
void check_pieces(const Plan& plan, const GuestMemory& memory) {
    std::vector<const Piece*> order;
    for (const Piece& piece : plan.pieces) {
        if (piece.size == 0) continue;
        if (memory.try_at(piece.address, piece.size).empty()) {
            throw Error(ErrorKind::guest_image, fmt::format("{} needs {} bytes at {:#x}, where the guest has no memory",
                                                            piece.name, piece.size, piece.address));
        }
        order.push_back(&piece);
    }
    std::ranges::sort(order, {}, [](const Piece* piece) { return piece->address; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const Piece& before = *order[i - 1];
        if (order[i]->address - before.address >= before.size) continue;
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} and {} overlap at {:#x}", before.name, order[i]->name, order[i]->address));
    }
}

void place_piece(const Piece& piece, GuestMemory& memory) {
    if (piece.size == 0) return;
    const auto room = memory.try_at(piece.address, piece.size);
    const std::uint64_t given = std::min<std::uint64_t>(piece.image ? piece.file_size : piece.bytes.size(), piece.size);
    if (piece.image) {
        piece.image->read(piece.offset, room.first(given));
    } else {
        std::copy_n(piece.bytes.begin(), given, room.begin());
    }
    if (given != 0) memory.mark_dirty(piece.address, given);
    memory.zero(piece.address + given, piece.size - given);
}

}  // namespace

Registers apply(const Plan& plan, GuestMemory& memory) {
    if (plan.firmware_size != 0) static_cast<void>(memory.firmware(plan.firmware_size));
    check_pieces(plan, memory);
    for (const Piece& piece : plan.pieces) place_piece(piece, memory);
    const Entry& entry = plan.entry;
    Registers registers =
        entry.reset ? reset_registers() : initial_registers(memory, entry.mode, entry.rip, entry.linux_selectors);
    registers.rax = entry.rax;
    registers.rbx = entry.rbx;
    registers.rdx = entry.rdx;
    registers.rsi = entry.rsi;
    if (entry.rsp) registers.rsp = *entry.rsp;
    return registers;
}

}  // namespace asyncvm::boot
