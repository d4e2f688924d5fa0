#include "gdb/agent_expression.hpp"

#include <array>
#include <limits>
#include <utility>
#include <vector>

namespace asyncvm::gdb {

namespace {

enum Operation : std::uint8_t {
    op_add = 0x02,
    op_sub = 0x03,
    op_mul = 0x04,
    op_div_signed = 0x05,
    op_div_unsigned = 0x06,
    op_rem_signed = 0x07,
    op_rem_unsigned = 0x08,
    op_lsh = 0x09,
    op_rsh_signed = 0x0a,
    op_rsh_unsigned = 0x0b,
    op_log_not = 0x0e,
    op_bit_and = 0x0f,
    op_bit_or = 0x10,
    op_bit_xor = 0x11,
    op_bit_not = 0x12,
    op_equal = 0x13,
    op_less_signed = 0x14,
    op_less_unsigned = 0x15,
    op_ext = 0x16,
    op_ref8 = 0x17,
    op_ref16 = 0x18,
    op_ref32 = 0x19,
    op_ref64 = 0x1a,
    op_if_goto = 0x20,
    op_goto = 0x21,
    op_const8 = 0x22,
    op_const16 = 0x23,
    op_const32 = 0x24,
    op_const64 = 0x25,
    op_reg = 0x26,
    op_end = 0x27,
    op_dup = 0x28,
    op_pop = 0x29,
    op_zero_ext = 0x2a,
    op_swap = 0x2b,
    op_pick = 0x32,
    op_rot = 0x33,
};

struct Shape {
    bool known = false;
    std::uint8_t operand = 0;  ///< bytes behind the operation
    std::uint8_t pops = 0;
    std::uint8_t pushes = 0;
};

/// Floating point, collecting for tracepoints and their variables are not among them.
constexpr Shape shape_of(std::uint8_t operation) {
    switch (operation) {
        case op_add:
        case op_sub:
        case op_mul:
        case op_div_signed:
        case op_div_unsigned:
        case op_rem_signed:
        case op_rem_unsigned:
        case op_lsh:
        case op_rsh_signed:
        case op_rsh_unsigned:
        case op_bit_and:
        case op_bit_or:
        case op_bit_xor:
        case op_equal:
        case op_less_signed:
        case op_less_unsigned:
            return {true, 0, 2, 1};
        case op_log_not:
        case op_bit_not:
        case op_ref8:
        case op_ref16:
        case op_ref32:
        case op_ref64:
            return {true, 0, 1, 1};
        case op_ext:
        case op_zero_ext:
            return {true, 1, 1, 1};
        case op_if_goto:
            return {true, 2, 1, 0};
        case op_goto:
            return {true, 2, 0, 0};
        case op_const8:
            return {true, 1, 0, 1};
        case op_const16:
        case op_reg:
            return {true, 2, 0, 1};
        case op_const32:
            return {true, 4, 0, 1};
        case op_const64:
            return {true, 8, 0, 1};
        case op_end:
            return {true, 0, 1, 0};
        case op_dup:
            return {true, 0, 0, 1};
        case op_pop:
            return {true, 0, 1, 0};
        case op_swap:
            return {true, 0, 2, 2};
        case op_pick:
            return {true, 1, 0, 1};
        case op_rot:
            return {true, 0, 3, 3};
        default:
            return {};
    }
}

constexpr auto as_signed = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };

std::uint64_t zero_extended(std::uint64_t value, std::uint64_t bits) {
    return bits < 64 ? value & ((std::uint64_t{1} << bits) - 1) : value;
}

std::uint64_t sign_extended(std::uint64_t value, std::uint64_t bits) {
    if (bits >= 64) return value;
    const std::uint64_t sign = std::uint64_t{1} << (bits - 1);
    return (zero_extended(value, bits) ^ sign) - sign;
}

/// Of `a`, which is below `b` on the stack. Nothing: a division by zero.
std::optional<std::uint64_t> binary(std::uint8_t operation, std::uint64_t a, std::uint64_t b) {
    const bool divides = operation >= op_div_signed && operation <= op_rem_unsigned;
    if (divides && b == 0) return std::nullopt;
    // The one quotient that has no place in 64 bits.
    const bool overflows = as_signed(a) == std::numeric_limits<std::int64_t>::min() && as_signed(b) == -1;
    switch (operation) {
        case op_add:
            return a + b;
        case op_sub:
            return a - b;
        case op_mul:
            return a * b;
        case op_div_signed:
            return overflows ? a : static_cast<std::uint64_t>(as_signed(a) / as_signed(b));
        case op_div_unsigned:
            return a / b;
        case op_rem_signed:
            return overflows ? 0 : static_cast<std::uint64_t>(as_signed(a) % as_signed(b));
        case op_rem_unsigned:
            return a % b;
        case op_lsh:
            return b < 64 ? a << b : 0;
        case op_rsh_signed:
            return static_cast<std::uint64_t>(as_signed(a) >> (b < 64 ? b : 63));
        case op_rsh_unsigned:
            return b < 64 ? a >> b : 0;
        case op_bit_and:
            return a & b;
        case op_bit_or:
            return a | b;
        case op_bit_xor:
            return a ^ b;
        case op_equal:
            return a == b;
        case op_less_signed:
            return as_signed(a) < as_signed(b);
        default:
            return a < b;
    }
}

/// In the guest's order of bytes.
std::optional<std::uint64_t> reference(AgentContext& context, std::uint64_t address, std::size_t size) {
    std::array<std::byte, 8> bytes{};
    if (!context.read(address, std::span(bytes).first(size))) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return value;
}

}  // namespace

AgentExpression::AgentExpression(std::string code) : code_(std::move(code)) { sound_ = verify(); }

std::uint64_t AgentExpression::operand(std::size_t at, std::size_t size) const noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | static_cast<std::uint8_t>(code_[at + i]);
    return value;
}

/// Each place is reached with one depth of the stack, whichever way leads there.
bool AgentExpression::verify() const {
    constexpr std::size_t unseen = deepest + 1;
    std::vector<std::size_t> depths(code_.size(), unseen);
    std::vector<std::size_t> open;
    const auto reach = [&](std::size_t place, std::size_t depth) {
        if (place >= code_.size() || depth > deepest) return false;
        if (depths[place] == unseen)
            open.push_back(place);
        else if (depths[place] != depth)
            return false;
        depths[place] = depth;
        return true;
    };
    if (!reach(0, 0)) return false;
    while (!open.empty()) {
        const std::size_t place = open.back();
        open.pop_back();
        const auto operation = static_cast<std::uint8_t>(code_[place]);
        const Shape shape = shape_of(operation);
        const std::size_t depth = depths[place];
        const std::size_t next = place + 1 + shape.operand;
        if (!shape.known || next > code_.size() || depth < shape.pops) return false;
        if (operation == op_end) continue;
        const std::uint64_t number = operand(place + 1, shape.operand);
        if ((operation == op_ext || operation == op_zero_ext) && number == 0) return false;
        if ((operation == op_dup || operation == op_pick) && number >= depth) return false;
        const std::size_t after = depth - shape.pops + shape.pushes;
        if ((operation == op_goto || operation == op_if_goto) && !reach(number, after)) return false;
        if (operation != op_goto && !reach(next, after)) return false;
    }
    return true;
}

std::optional<std::uint64_t> AgentExpression::evaluate(AgentContext& context) const {
    if (!sound_) return std::nullopt;
    std::array<std::uint64_t, deepest> stack{};
    std::size_t depth = 0;
    std::size_t place = 0;
    for (unsigned step = 0; step < most_steps; ++step) {
        const auto operation = static_cast<std::uint8_t>(code_[place]);
        const Shape shape = shape_of(operation);
        const std::uint64_t number = operand(place + 1, shape.operand);
        place += 1 + shape.operand;
        // What is read here without a look at the depth is there: verify() has seen to that.
        const auto top = [&]() -> std::uint64_t& { return stack[depth - 1]; };
        std::optional<std::uint64_t> value;
        switch (operation) {
            case op_end:
                return top();
            case op_goto:
                place = number;
                continue;
            case op_if_goto:
                if (stack[--depth] != 0) place = number;
                continue;
            case op_pop:
                --depth;
                continue;
            case op_swap:
                std::swap(stack[depth - 1], stack[depth - 2]);
                continue;
            case op_rot:  // a b c, c on top, become c a b
                std::swap(stack[depth - 1], stack[depth - 2]);
                std::swap(stack[depth - 2], stack[depth - 3]);
                continue;
            case op_const8:
            case op_const16:
            case op_const32:
            case op_const64:
                value = number;
                break;
            case op_reg:
                value = context.reg(static_cast<unsigned>(number));
                break;
            case op_dup:
                value = top();
                break;
            case op_pick:
                value = stack[depth - 1 - number];
                break;
            case op_log_not:
                value = top() == 0;
                break;
            case op_bit_not:
                value = ~top();
                break;
            case op_ext:
                value = sign_extended(top(), number);
                break;
            case op_zero_ext:
                value = zero_extended(top(), number);
                break;
            case op_ref8:
            case op_ref16:
            case op_ref32:
            case op_ref64:
                value = reference(context, top(), std::size_t{1} << (operation - op_ref8));
                break;
            default:
                value = binary(operation, stack[depth - 2], top());
        }
        if (!value) return std::nullopt;
        depth -= shape.pops;
        stack[depth++] = *value;
    }
    return std::nullopt;
}

}  // namespace asyncvm::gdb
