#include "gdb/agent_expression.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>
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
    op_printf = 0x34,
};

struct Shape {
    bool known = false;
    std::uint8_t operand = 0;  ///< bytes behind the operation
    std::uint8_t pops = 0;
    std::uint8_t pushes = 0;
};

/// Floating point, collecting for tracepoints and their variables are not among them, and printf has no fixed shape.
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

AgentExpression::AgentExpression(std::string code, Use use) : code_(std::move(code)), use_(use) { flaw_ = find_flaw(); }

std::uint64_t AgentExpression::operand(std::size_t at, std::size_t size) const noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | static_cast<std::uint8_t>(code_[at + i]);
    return value;
}

/// The number of values, two bytes for the length of the format, the format with a NUL behind it. On the stack are the
/// values, the first one on top, then the place where to print and a function that prints.
std::string AgentExpression::read_print(std::size_t place) {
    constexpr std::size_t front = 4;
    if (code_.size() - place < front) return "a printf is cut off";
    const auto values = static_cast<std::size_t>(operand(place + 1, 1));
    const auto length = static_cast<std::size_t>(operand(place + 2, 2));
    const std::size_t next = place + front + length;
    if (next > code_.size()) return "a printf is cut off";
    if (length == 0 || code_[next - 1] != '\0') return "the format has no end";
    const std::string_view typed = std::string_view(code_).substr(place + front, length - 1);
    Print print{.values = values, .next = next, .format = AgentFormat(typed)};
    if (!print.format.flaw().empty()) return "the format: " + print.format.flaw();
    if (print.format.count() != values)
        return fmt::format("the format wants {} values, and there are {}", print.format.count(), values);
    prints_.insert_or_assign(place, std::move(print));
    return {};
}

/// Each place is reached with one depth of the stack, whichever way leads there.
std::string AgentExpression::find_flaw() {
    static const std::string wrong_stack = "the bytecode uses its stack wrongly";
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
    if (!reach(0, 0)) return "there is no bytecode";
    while (!open.empty()) {
        const std::size_t place = open.back();
        open.pop_back();
        const auto operation = static_cast<std::uint8_t>(code_[place]);
        const std::size_t depth = depths[place];
        if (operation == op_printf && use_ == Use::command) {
            if (auto flaw = read_print(place); !flaw.empty()) return flaw;
            const Print& print = prints_.at(place);
            if (depth < print.values + 2 || !reach(print.next, depth - print.values - 2)) return wrong_stack;
            continue;
        }
        const Shape shape = shape_of(operation);
        const std::size_t next = place + 1 + shape.operand;
        if (!shape.known) return fmt::format("the bytecode has the operation {:#04x}", operation);
        if (next > code_.size()) return "the bytecode is cut off";
        if (operation == op_end && use_ == Use::command) continue;
        if (depth < shape.pops) return wrong_stack;
        if (operation == op_end) continue;
        const std::uint64_t number = operand(place + 1, shape.operand);
        if ((operation == op_ext || operation == op_zero_ext) && number == 0) return "a value has no bits";
        if ((operation == op_dup || operation == op_pick) && number >= depth) return wrong_stack;
        const std::size_t after = depth - shape.pops + shape.pushes;
        if ((operation == op_goto || operation == op_if_goto) && !reach(number, after)) return wrong_stack;
        if (operation != op_goto && !reach(next, after)) return wrong_stack;
    }
    return {};
}

std::optional<std::uint64_t> AgentExpression::evaluate(AgentContext& context) const {
    std::string nothing;
    if (!sound()) return std::nullopt;
    const Outcome outcome = execute(context, nothing);
    return outcome.why == Outcome::Why::ended ? std::optional(outcome.value) : std::nullopt;
}

std::string AgentExpression::run(AgentContext& context, std::string& to) const {
    if (!sound()) return flaw_;
    const Outcome outcome = execute(context, to);
    switch (outcome.why) {
        case Outcome::Why::ended:
            break;
        case Outcome::Why::no_register:
            return fmt::format("register {} has no value here, only for gdb", outcome.value);
        case Outcome::Why::no_memory:
            return fmt::format("Cannot access memory at address {:#x}", outcome.value);
        case Outcome::Why::division:
            return "Division by zero";
        case Outcome::Why::prints_elsewhere:
            return "it is to be printed by a function of the guest";
        case Outcome::Why::too_long:
            return fmt::format("it is longer than {} bytes", longest_output);
        case Outcome::Why::endless:
            return fmt::format("it takes more than {} operations", most_steps);
    }
    return {};
}

AgentExpression::Outcome AgentExpression::execute(AgentContext& context, std::string& to) const {
    std::array<std::uint64_t, deepest> stack{};
    std::size_t depth = 0;
    std::size_t place = 0;
    const std::size_t before = to.size();
    for (unsigned step = 0; step < most_steps; ++step) {
        const auto operation = static_cast<std::uint8_t>(code_[place]);
        const Shape shape = shape_of(operation);
        const std::uint64_t number = operand(place + 1, shape.operand);
        const std::size_t here = std::exchange(place, place + 1 + shape.operand);
        // What is read here without a look at the depth is there: find_flaw() has seen to that.
        const auto top = [&]() -> std::uint64_t& { return stack[depth - 1]; };
        std::optional<std::uint64_t> value;
        Outcome without{.why = Outcome::Why::division};
        switch (operation) {
            case op_end:
                return {.value = depth > 0 ? top() : 0};
            case op_printf: {
                const Print& print = prints_.at(here);
                if (stack[depth - 1] != 0 || stack[depth - 2] != 0) return {.why = Outcome::Why::prints_elsewhere};
                if (to.size() - before > longest_output) return {.why = Outcome::Why::too_long};
                depth -= 2 + print.values;
                const auto values = std::span(stack).subspan(depth, print.values);
                std::ranges::reverse(values);
                print.format.print(values, context, to);
                place = print.next;
                continue;
            }
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
                without = {.why = Outcome::Why::no_register, .value = number};
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
                without = {.why = Outcome::Why::no_memory, .value = zero_extended(top(), context.word_bits())};
                break;
            default:
                value = binary(operation, stack[depth - 2], top());
        }
        if (!value) return without;
        depth -= shape.pops;
        stack[depth++] = *value;
    }
    return {.why = Outcome::Why::endless};
}

}  // namespace asyncvm::gdb
