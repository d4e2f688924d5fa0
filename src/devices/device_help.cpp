#include "devices/catalogue.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

namespace asyncvm {

namespace {

void append_keys(std::string& text, std::span<const DeviceKey> keys) {
    for (const auto& key : keys) {
        fmt::format_to(std::back_inserter(text), "  {:<18} {}\n", fmt::format("{}={}", key.name, key.value), key.help);
    }
}

}  // namespace

std::string device_help() {
    std::string text =
        "--device NAME[,KEY=VALUE]... adds a device; those marked * are there without it, and are replaced.\n";
    for (const auto& kind : device_kinds()) {
        std::string keys = "port mmio";
        for (const auto& key : kind.keys) fmt::format_to(std::back_inserter(keys), " {}", key.name);
        fmt::format_to(std::back_inserter(text), "{} {:<10} {:<44} {:<24} [{}]\n", kind.by_default ? '*' : ' ', kind.name,
                       kind.help, kind.place, keys);
    }
    text += "--device NAME,help explains a device's keys.\n";
    return text;
}

std::string device_help(std::string_view name) {
    const DeviceKind& kind = device_kind(name);
    std::string text =
        fmt::format("{}: {} ({}{})\n", kind.name, kind.help, kind.place, kind.by_default ? ", by default" : "");
    append_keys(text, common_device_keys());
    append_keys(text, kind.keys);
    text += "Numbers are decimal, or hexadecimal after 0x.\n";
    return text;
}

std::optional<std::string> requested_help(const DeviceRequest& request) {
    if (request.name == "help") return device_help();
    const auto asks = [](const auto& option) { return option.first == "help" && option.second.empty(); };
    if (std::ranges::any_of(request.options, asks)) return device_help(request.name);
    return std::nullopt;
}

}  // namespace asyncvm
