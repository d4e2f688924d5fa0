#include "gdb/breakpoints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace asyncvm::gdb {

namespace {

constexpr unsigned slots = 4;
constexpr std::uint64_t longest_watched = 4096;  ///< bytes, step by step

// DR7 (Intel SDM vol. 3, 18.2.4): enable bits, then 4 bits for each register that say what it is for.
constexpr std::uint64_t dr7_write = 0b01;
constexpr std::uint64_t dr7_access = 0b11;

std::uint64_t dr7_bits(const Breakpoints::Point& point) {
    std::uint64_t kind = 0;
    if (Breakpoints::of_data(point.type)) {
        constexpr std::uint64_t length_bits[] = {0b00, 0b01, 0b11, 0b10};  // of 1, 2, 4 and 8 bytes
        const auto length = length_bits[static_cast<std::size_t>(std::countr_zero(point.length))];
        kind = length << 2 | (point.type == Breakpoints::Type::write ? dr7_write : dr7_access);
    }
    return std::uint64_t{2} << (2 * point.slot) | kind << (16 + 4 * point.slot);
}

/// What is wrong stands where its output would be: gdb, if it were told of a stop here, would go on and say nothing.
void run_commands(const Breakpoints::Point& point, AgentContext& context, std::string& printed) {
    const auto say = [&](const std::string& problem) {
        if (!problem.empty()) printed += fmt::format("<dprintf at {:#x}: {}>\n", point.address, problem);
    };
    const auto& conditions = point.conditions;
    const auto& commands = point.commands.list;
    const auto holds = [&](const AgentExpression& condition) {
        const auto value = condition.evaluate(context);
        if (!value) say("its condition: " + condition.run(context, printed));
        return value.value_or(0) != 0;
    };
    const bool in_pairs = conditions.size() == commands.size();
    if (!in_pairs && !conditions.empty() && std::ranges::none_of(conditions, holds)) return;
    for (std::size_t i = 0; i < commands.size(); ++i) {
        if (!in_pairs || holds(conditions[i])) say(commands[i].run(context, printed));
    }
}

bool fits_register(std::uint64_t address, std::uint64_t length) {
    return std::has_single_bit(length) && length <= 8 && address % length == 0;
}

}  // namespace

std::optional<unsigned> Breakpoints::free_slot() const noexcept {
    for (unsigned slot = 0; slot < slots; ++slot) {
        if (in_slot(slot) == nullptr) return slot;
    }
    return std::nullopt;
}

const Breakpoints::Point* Breakpoints::in_slot(unsigned slot) const noexcept {
    const auto found = std::ranges::find_if(
        points_, [slot](const Point& point) { return point.means == Means::debug_register && point.slot == slot; });
    return found == points_.end() ? nullptr : &*found;
}

const Breakpoints::Point* Breakpoints::at(std::uint64_t address, Means means) const noexcept {
    const auto found = std::ranges::find_if(points_, [address, means](const Point& point) {
        return point.address == address && point.means == means && !of_data(point.type);
    });
    return found == points_.end() ? nullptr : &*found;
}

bool Breakpoints::come_to(std::uint64_t address, AgentContext& context, std::string& printed) const {
    bool stops = false;
    for (const Point& point : points_) {
        if (point.address != address || of_data(point.type)) continue;
        if (!point.commands.list.empty())
            run_commands(point, context, printed);
        else
            stops = stops || point.conditions.empty() || std::ranges::any_of(point.conditions, [&](const auto& condition) {
                        return condition.evaluate(context).value_or(1) != 0;
                    });
    }
    return stops;
}

std::optional<Breakpoints::Means> Breakpoints::means_for(Type type, std::uint64_t address, std::uint64_t length, bool mapped,
                                                         bool passes, bool always) const noexcept {
    const bool slot = free_slot().has_value();
    const auto by_steps = features_.steps ? std::optional(Means::steps) : std::nullopt;
    switch (type) {
        case Type::software:
            // Who goes on has to leave the INT3 where the other vCPUs find it. gdb can help where conditions are, and only
            // there.
            if (features_.int3 && mapped && !(passes && several_ && (always || (features_.debug_registers && slot))))
                return Means::int3;
            [[fallthrough]];
        case Type::hardware:
            if (features_.debug_registers && slot) return Means::debug_register;
            return by_steps;
        case Type::write:
            if (features_.watchpoints && slot && fits_register(address, length)) return Means::debug_register;
            return mapped && length <= longest_watched ? by_steps : std::nullopt;
        case Type::access:
            if (features_.watchpoints && slot && fits_register(address, length)) return Means::debug_register;
            return std::nullopt;
        case Type::read:
            break;  // x86 has none, and a step does not tell
    }
    return std::nullopt;
}

std::optional<Breakpoints::Means> Breakpoints::add(Type type, std::uint64_t address, std::uint64_t length,
                                                   std::optional<std::uint64_t> physical, Conditions conditions,
                                                   Commands commands) {
    if (!of_data(type)) length = 1;
    if (length == 0) return std::nullopt;
    const auto same = [&](const Point& point) {
        return point.type == type && point.address == address && point.length == length;
    };
    const bool always = !commands.list.empty();
    const bool passes = always || !conditions.empty();
    auto found = std::ranges::find_if(points_, same);
    // It did not have to let anybody pass before.
    if (found != points_.end() && found->means == Means::int3 && passes && several_) {
        points_.erase(found);
        found = points_.end();
    }
    if (found != points_.end()) {
        found->conditions = std::move(conditions);
        found->commands = std::move(commands);
        return found->means;
    }
    const auto means = means_for(type, address, length, physical.has_value(), passes, always);
    if (!means) return std::nullopt;
    const unsigned slot = *means == Means::debug_register ? *free_slot() : 0;
    points_.push_back({.type = type,
                       .address = address,
                       .length = length,
                       .means = *means,
                       .slot = slot,
                       .physical = physical.value_or(0),
                       .conditions = std::move(conditions),
                       .commands = std::move(commands)});
    return means;
}

void Breakpoints::remove(Type type, std::uint64_t address, std::uint64_t length) {
    if (!of_data(type)) length = 1;
    std::erase_if(points_, [&](const Point& point) {
        return point.type == type && point.address == address && point.length == length;
    });
}

bool Breakpoints::prints_at(std::uint64_t address) const noexcept {
    return std::ranges::any_of(points_, [address](const Point& point) {
        return point.address == address && !of_data(point.type) && !point.commands.list.empty();
    });
}

void Breakpoints::remove_transient() {
    std::erase_if(points_, [](const Point& point) { return !point.commands.persist; });
}

bool Breakpoints::need_steps() const noexcept {
    return std::ranges::find(points_, Means::steps, &Point::means) != points_.end();
}

GuestDebug Breakpoints::debug_over(std::uint64_t address) const noexcept {
    GuestDebug debug = this->debug();
    debug.single_step = debug.block_interrupts = true;
    for (const Point& point : points_) {
        if (point.means == Means::debug_register && point.address == address && !of_data(point.type))
            debug.dr7 &= ~(std::uint64_t{3} << (2 * point.slot));
    }
    return debug;
}

GuestDebug Breakpoints::debug() const noexcept {
    GuestDebug debug;
    debug.single_step = need_steps();
    for (const Point& point : points_) {
        if (point.means == Means::int3) debug.software_breakpoints = true;
        if (point.means != Means::debug_register) continue;
        debug.breakpoints[point.slot] = point.address;
        debug.dr7 |= dr7_bits(point);
    }
    return debug;
}

}  // namespace asyncvm::gdb
