/// The text of --device, parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm {

/// A device by name, and its options in the order in which they were given.
struct DeviceRequest {
    std::string name;
    std::vector<std::pair<std::string, std::string>> options;  ///< an option without `=` has an empty value
};

/// `NAME[,KEY=VALUE]...`. Two commas in a row stand for one that is part of a value:
/// `debugcon,chardev=tcp:5555,,wait`. Throws Error(usage); names, keys and values are checked later, by add_device().
[[nodiscard]] DeviceRequest parse_device_request(std::string_view text);

/// The options of a request by their types. Every function throws Error(usage) that names the device, the key and the value.
class DeviceOptions {
public:
    /// `request` must outlive the object.
    explicit DeviceOptions(const DeviceRequest& request) : request_(request) {}

    /// Throws if a key is not one of `known`, or is there twice.
    void check_keys(std::span<const std::string_view> known) const;

    [[nodiscard]] std::optional<std::string_view> text(std::string_view key) const;

    /// As parse_number() takes it, from 0 to `largest`.
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key, std::uint64_t largest) const;

    /// The distance from one register to the next, in bytes: 1 unless stride= says 2, 4 or 8. Throws without mmio=.
    [[nodiscard]] unsigned stride() const;

    /// The index of the value in `choices`; 0, the default, if the key is not there.
    [[nodiscard]] std::size_t choice(std::string_view key, std::span<const std::string_view> choices) const;

private:
    const DeviceRequest& request_;
};

}  // namespace asyncvm
