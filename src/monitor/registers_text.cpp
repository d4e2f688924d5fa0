#include "monitor/registers_text.hpp"

#include "x86/bits.hpp"
#include "x86/linear.hpp"

#include <fmt/format.h>

#include <string_view>

namespace asyncvm::monitor {

namespace {

/// The upper half of its descriptor.
std::uint32_t flags_of(const Segment& segment) {
    return std::uint32_t{segment.type} << 8 | std::uint32_t{segment.code_or_data} << 12 | std::uint32_t{segment.dpl} << 13 |
           std::uint32_t{segment.present} << 15 | (segment.limit & 0xf'0000) | std::uint32_t{segment.available} << 20 |
           std::uint32_t{segment.long_mode} << 21 | std::uint32_t{segment.default_32} << 22 |
           std::uint32_t{segment.granularity_4k} << 23;
}

std::string kind_of(const Segment& segment, bool long_mode) {
    const auto bit = [&](unsigned which, char letter) { return (segment.type & which) != 0 ? letter : '-'; };
    if (segment.code_or_data && (segment.type & 8) != 0) {
        const int bits = segment.long_mode ? 64 : segment.default_32 ? 32 : 16;
        return fmt::format("CS{} [{}{}{}]", bits, bit(4, 'C'), bit(2, 'R'), bit(1, 'A'));
    }
    if (segment.code_or_data) {
        const char* const name = segment.default_32 || long_mode ? "DS  " : "DS16";
        return fmt::format("{} [{}{}{}]", name, bit(4, 'E'), bit(2, 'W'), bit(1, 'A'));
    }
    switch (segment.type) {
        case 2:
            return "LDT";
        case 1:
        case 3:
            return segment.type == 1 ? "TSS16-avl" : "TSS16-busy";
        case 9:
        case 11:
            return fmt::format("TSS{}-{}", long_mode ? 64 : 32, segment.type == 9 ? "avl" : "busy");
        default:
            return "Reserved";
    }
}

class Writer {
public:
    explicit Writer(const Registers& registers) : r_(registers) {}

    std::string all(unsigned cpu) {
        text_ = fmt::format("\nCPU#{}\n", cpu);
        general();
        constexpr std::string_view letters = "CPAZSTIDO";
        constexpr unsigned places[] = {0, 2, 4, 6, 7, 8, 9, 10, 11};
        std::string flags;
        for (const std::size_t i : {8, 7, 4, 3, 2, 1, 0}) flags += (r_.rflags >> places[i] & 1) != 0 ? letters[i] : '-';
        text_ += fmt::format("{}={:0{}x} {}={:08x} [{}] CPL={}\n", wide_ ? "RIP" : "EIP", r_.rip, digits_,
                             wide_ ? "RFL" : "EFL", r_.rflags, flags, (r_.cr0 & cr0_pe) != 0 ? r_.cs.selector & 3 : 0);
        for (const auto& [name, one] :
             {Named{"ES ", &r_.es}, Named{"CS ", &r_.cs}, Named{"SS ", &r_.ss}, Named{"DS ", &r_.ds}, Named{"FS ", &r_.fs},
              Named{"GS ", &r_.gs}, Named{"LDT", &r_.ldt}, Named{"TR ", &r_.tr}}) {
            segment(name, *one);
        }
        const int base = long_mode_ ? 16 : 8;
        text_ += fmt::format("GDT=     {:0{}x} {:08x}\n", r_.gdt.base, base, r_.gdt.limit);
        text_ += fmt::format("IDT=     {:0{}x} {:08x}\n", r_.idt.base, base, r_.idt.limit);
        text_ +=
            fmt::format("CR0={:08x} CR2={:0{}x} CR3={:0{}x} CR4={:08x}\n", r_.cr0, r_.cr2, base, r_.cr3, base, r_.cr4);
        text_ += fmt::format("EFER={:016x}\n", r_.efer);
        return std::move(text_);
    }

private:
    struct Named {
        std::string_view name;
        const Segment* segment;
    };

    void general() {
        struct Value {
            std::string_view name;
            std::uint64_t value;
        };
        const Value low[] = {{"AX", r_.rax}, {"BX", r_.rbx}, {"CX", r_.rcx}, {"DX", r_.rdx},
                             {"SI", r_.rsi}, {"DI", r_.rdi}, {"BP", r_.rbp}, {"SP", r_.rsp}};
        std::size_t count = 0;
        const auto add = [&](std::string name, std::uint64_t value) {
            text_ += fmt::format("{:<3}={:0{}x}{}", name, value, digits_, ++count % 4 == 0 ? "\n" : " ");
        };
        for (const Value& one : low) add(fmt::format("{}{}", wide_ ? 'R' : 'E', one.name), one.value);
        if (!wide_) return;
        unsigned number = 8;
        for (const auto value : {r_.r8, r_.r9, r_.r10, r_.r11, r_.r12, r_.r13, r_.r14, r_.r15})
            add(fmt::format("R{}", number++), value);
    }

    void segment(std::string_view name, const Segment& one) {
        text_ += fmt::format("{}={:04x} {:0{}x} {:08x} {:08x}", name, one.selector, one.base, long_mode_ ? 16 : 8, one.limit,
                             flags_of(one));
        if (one.present) text_ += fmt::format(" DPL={} {}", one.dpl, kind_of(one, long_mode_));
        text_ += "\n";
    }

    const Registers& r_;
    const bool wide_ = in_64_bits(r_);
    const bool long_mode_ = (r_.efer & efer_lma) != 0;
    const int digits_ = wide_ ? 16 : 8;
    std::string text_;
};

}  // namespace

std::string registers_text(const Registers& registers, unsigned cpu) { return Writer(registers).all(cpu); }

}  // namespace asyncvm::monitor
