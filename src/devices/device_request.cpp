#include "devices/device_request.hpp"

#include <asyncvm/error.hpp>

#include "text/parse.hpp"
#include "text/suggest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace asyncvm {

DeviceRequest parse_device_request(std::string_view text) {
    auto parts = split_at_commas(text);
    DeviceRequest request;
    constexpr std::string_view record = "record=";
    constexpr std::string_view replay = "replay=";
    if (parts.front().starts_with(record)) {
        request.record = parts.front().substr(record.size());
        parts.erase(parts.begin());
        if (request.record.empty() || parts.empty()) {
            throw Error(ErrorKind::usage,
                        fmt::format("--device '{}': the file and the device to record are --device record=FILE,NAME", text));
        }
    }
    if (parts.front().starts_with(replay)) {
        request.options.emplace_back("file", parts.front().substr(replay.size()));
        parts.front() = "replay";
    }
    request.name = std::move(parts.front());
    if (request.name.empty()) {
        throw Error(ErrorKind::usage, fmt::format("--device '{}': a device's name is missing (see --device help)", text));
    }
    for (auto part = parts.begin() + 1; part != parts.end(); ++part) {
        const auto equals = part->find('=');
        auto key = part->substr(0, equals);
        if (key.empty()) {
            throw Error(ErrorKind::usage, fmt::format("--device '{}': an option's name is missing (see --device {},help)",
                                                      text, request.name));
        }
        request.options.emplace_back(std::move(key), equals == std::string::npos ? "" : part->substr(equals + 1));
    }
    return request;
}

void DeviceOptions::check_keys(std::span<const std::string_view> known) const {
    const auto& options = request_.options;
    for (auto option = options.begin(); option != options.end(); ++option) {
        const auto& key = option->first;
        if (std::ranges::find(known, key) == known.end()) {
            throw Error(ErrorKind::usage,
                        fmt::format("device {} has no option {}{}", request_.name, key, suggestion(key, known)));
        }
        if (std::any_of(options.begin(), option, [&key](const auto& earlier) { return earlier.first == key; })) {
            throw Error(ErrorKind::usage, fmt::format("device {}: option {} is given twice", request_.name, key));
        }
    }
}

std::optional<std::string_view> DeviceOptions::text(std::string_view key) const {
    for (const auto& [name, value] : request_.options) {
        if (name == key) return value;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> DeviceOptions::number(std::string_view key, std::uint64_t largest) const {
    const auto value = text(key);
    if (!value) return std::nullopt;
    const auto parsed = parse_number(*value);
    if (!parsed || *parsed > largest) {
        throw Error(
            ErrorKind::usage,
            fmt::format("device {}: {}={} is not a number from 0 to {:#x} (decimal, 0x hexadecimal, 0b binary or 0o octal)",
                        request_.name, key, *value, largest));
    }
    return parsed;
}

unsigned DeviceOptions::stride() const {
    constexpr std::array<std::string_view, 4> strides{"1", "2", "4", "8"};
    const auto stride = 1U << choice("stride", strides);
    if (text("stride") && !text("mmio")) {
        throw Error(ErrorKind::usage,
                    fmt::format("device {}: stride goes with mmio=ADDRESS only: ports are one byte apart", request_.name));
    }
    return stride;
}

std::size_t DeviceOptions::choice(std::string_view key, std::span<const std::string_view> choices) const {
    const auto value = text(key);
    if (!value) return 0;
    const auto found = std::ranges::find(choices, *value);
    if (found == choices.end()) {
        throw Error(ErrorKind::usage,
                    fmt::format("device {}: {}={} is not one of: {}", request_.name, key, *value, fmt::join(choices, ", ")));
    }
    return static_cast<std::size_t>(found - choices.begin());
}

}  // namespace asyncvm
