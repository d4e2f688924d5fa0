#include "accel/unicorn/delivery.hpp"

#include <cstring>
#include <optional>

#include "x86/bits.hpp"

namespace asyncvm::unicorn {

namespace {

constexpr unsigned double_fault = 8;
constexpr unsigned general_protection = 13;

/// Exceptions that push an error code (Intel SDM vol. 3, 6.13). Unicorn does not give it.
bool has_error_code(unsigned vector) noexcept {
    return vector == double_fault || (vector >= 10 && vector <= 14) || vector == 17;
}

template <typename T>
std::optional<T> read(const GuestMemory& memory, std::uint64_t address) noexcept {
    const auto bytes = memory.try_at(address, sizeof(T));
    if (bytes.empty()) return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

Delivery refused(std::string_view reason) noexcept {
    Delivery delivery;
    delivery.kind = Delivery::Kind::refused;
    delivery.reason = reason;
    return delivery;
}

/// Puts words of `width` bytes below the stack pointer, the first one highest.
void push(Delivery& delivery, const std::array<std::uint64_t, 5>& words, unsigned count, unsigned width) noexcept {
    delivery.frame_size = std::size_t{count} * width;
    for (unsigned i = 0; i < count; ++i) std::memcpy(delivery.frame.data() + width * (count - 1 - i), &words[i], width);
}

Delivery deliver_real(const GuestMemory& memory, const Registers& registers, unsigned vector) {
    const std::uint64_t entry = 4ull * vector;
    if (entry + 3 > registers.idt.limit) return {};
    const auto handler = read<std::uint32_t>(memory, registers.idt.base + entry);
    if (!handler) return refused("the interrupt vectors lie where there is no memory");
    Delivery delivery;
    delivery.kind = Delivery::Kind::handler;
    delivery.rip = *handler & 0xffff;
    delivery.cs = static_cast<std::uint16_t>(*handler >> 16);
    const std::uint64_t sp = (registers.rsp - 6) & 0xffff;
    if (sp > 0xfffa) return refused("an interrupt's frame lies across the end of the stack segment");
    delivery.rsp = (registers.rsp & ~std::uint64_t{0xffff}) | sp;
    delivery.frame_address = registers.ss.base + sp;
    push(delivery, {registers.rflags, registers.cs.selector, registers.rip}, 3, 2);
    delivery.rflags = registers.rflags & ~(rflags_if | rflags_tf | rflags_ac | rflags_rf);
    return delivery;
}

/// A gate of the IDT (Intel SDM vol. 3, 6.11 and 6.14.1).
struct Gate {
    std::uint64_t offset = 0;
    std::uint16_t selector = 0;
    std::uint8_t stack = 0;
    std::uint8_t type = 0;
    bool present = false;
};

std::optional<Gate> gate_of(const GuestMemory& memory, const Registers& registers, unsigned vector) noexcept {
    const bool wide = (registers.efer & efer_lma) != 0;
    const unsigned size = wide ? 16 : 8;
    if (std::uint64_t{vector} * size + size - 1 > registers.idt.limit) return std::nullopt;
    const std::uint64_t address = registers.idt.base + std::uint64_t{vector} * size;
    const auto low = read<std::uint64_t>(memory, address);
    const auto high = wide ? read<std::uint32_t>(memory, address + 8) : std::uint32_t{0};
    if (!low || !high) return std::nullopt;
    Gate gate;
    gate.offset = (*low & 0xffff) | (*low >> 48 & 0xffff) << 16 | std::uint64_t{*high} << 32;
    gate.selector = static_cast<std::uint16_t>(*low >> 16);
    gate.stack = wide ? *low >> 32 & 7 : 0;
    gate.type = *low >> 40 & 0x1f;
    gate.present = (*low >> 47 & 1) != 0;
    return gate;
}

bool usable(const std::optional<Gate>& gate) noexcept { return gate && gate->present && gate->selector >= 8; }

Delivery deliver_protected(const GuestMemory& memory, const Registers& registers, unsigned vector, bool fault) {
    constexpr std::uint8_t interrupt_gate = 0xe, trap_gate = 0xf;
    const auto gate = gate_of(memory, registers, vector);
    if (!usable(gate)) {
        // What follows is a general protection fault, then a double fault.
        if (usable(gate_of(memory, registers, general_protection)) || usable(gate_of(memory, registers, double_fault)))
            return refused("an exception whose handler takes an error code");
        return {};
    }
    if (fault && has_error_code(vector)) return refused("an exception whose handler takes an error code");
    if (gate->type != interrupt_gate && gate->type != trap_gate)
        return refused("an interrupt through a task gate or a 16-bit gate");
    if (gate->stack != 0) return refused("an interrupt with a stack of its own (IST)");
    if ((gate->selector & ~3u) != (registers.cs.selector & ~3u) || (registers.cs.selector & 3) != 0)
        return refused("an interrupt that changes the code segment");
    const bool wide = (registers.efer & efer_lma) != 0;
    if (wide && !registers.cs.long_mode) return refused("an interrupt from 32-bit code in long mode");
    Delivery delivery;
    delivery.kind = Delivery::Kind::handler;
    delivery.cs = registers.cs.selector;
    delivery.rip = gate->offset;
    // A fault's saved flags have RF set, so that an instruction breakpoint does not hit twice.
    const std::uint64_t saved = registers.rflags | (fault ? rflags_rf : 0);
    if (wide) {
        delivery.rsp = (registers.rsp & ~std::uint64_t{15}) - 40;
        push(delivery, {registers.ss.selector, registers.rsp, saved, registers.cs.selector, registers.rip}, 5, 8);
        delivery.frame_address = delivery.rsp;
    } else {
        const std::uint64_t mask = registers.ss.default_32 ? 0xffff'ffff : 0xffff;
        delivery.rsp = (registers.rsp & ~mask) | ((registers.rsp - 12) & mask);
        push(delivery, {saved, registers.cs.selector, registers.rip}, 3, 4);
        delivery.frame_address = (registers.ss.base + (delivery.rsp & mask)) & 0xffff'ffff;
    }
    delivery.rflags =
        registers.rflags & ~(rflags_tf | rflags_nt | rflags_rf | rflags_vm | (gate->type == interrupt_gate ? rflags_if : 0));
    return delivery;
}

}  // namespace

Delivery deliver(const GuestMemory& memory, const Registers& registers, unsigned vector, bool fault) {
    Delivery delivery = (registers.cr0 & cr0_pe) == 0 ? deliver_real(memory, registers, vector)
                                                      : deliver_protected(memory, registers, vector, fault);
    if (delivery.kind == Delivery::Kind::handler && memory.try_at(delivery.frame_address, delivery.frame_size).empty())
        return refused("an interrupt's frame lies where there is no memory");
    return delivery;
}

}  // namespace asyncvm::unicorn
