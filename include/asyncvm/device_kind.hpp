/// What `--device` knows of a kind of device: its keys, its places, and the function that makes one.
///
/// The devices that come with the library are such kinds, and so is each plugin (<asyncvm/plugin.hpp>).
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/state.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
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
    std::vector<std::pair<std::string, std::string>> options{};  ///< an option without `=` has an empty value
    std::string record{};                                        ///< the file that it is recorded in; empty: in none
};

/// The options of a request by their types. Every function throws Error(usage) that names the device, the key and the value.
class DeviceOptions {
public:
    /// `request` must outlive the object.
    explicit DeviceOptions(const DeviceRequest& request) : request_(request) {}

    /// Throws if a key is not one of `known`, or is there twice.
    void check_keys(std::span<const std::string_view> known) const;

    [[nodiscard]] std::optional<std::string_view> text(std::string_view key) const;

    /// In decimal, or after 0x, 0b or 0o; from 0 to `largest`.
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key, std::uint64_t largest) const;

    /// The distance from one register to the next, in bytes: 1 unless stride= says 2, 4 or 8. Throws without mmio=.
    [[nodiscard]] unsigned stride() const;

    /// The index of the value in `choices`; 0, the default, if the key is not there.
    [[nodiscard]] std::size_t choice(std::string_view key, std::span<const std::string_view> choices) const;

private:
    const DeviceRequest& request_;
};

struct DeviceKey {
    std::string_view name;
    std::string_view value;  ///< what stands after the `=`, for help: "SPEC"
    std::string_view help;   ///< one line
};

struct DeviceKind {
    std::string_view name;
    std::string_view help;              ///< one line
    std::span<const DeviceKey> keys{};  ///< its own, without port and mmio, which all movable kinds have
    /// Where it is unless port= or mmio= say otherwise. None: one of them has to, and a kind that is not movable attaches
    /// its devices itself, in make().
    std::span<const AddressRange> ports{};
    std::uint64_t size = 1;   ///< the number of addresses that it takes in memory
    bool by_default = false;  ///< a machine has one without being asked; not for plugins
    bool reads = false;                     ///< from the chardevs that it opens, and does not only write to them
    bool movable = true;      ///< port= and mmio= put it elsewhere
    /// Called with keys that are known, before the device has a machine, and perhaps a second time for a device that is
    /// thrown away: the program tries its options before it starts. So what touches the host is opened through `host`, or in
    /// Device::attached() and run(). Throws Error(usage) for a wrong value, and what host.open_chardev throws.
    std::shared_ptr<Device> (*make)(const DeviceOptions& options, const DeviceHost& host) = nullptr;
};

/// A device that a guest can't tell from a new one: its saved state has no fields.
class StatelessDevice : public Device {
public:
    void save(StateWriter& writer) override {
        NoState nothing;
        save_state(writer, name(), nothing);
    }

    void restore(StateReader& reader) override {
        NoState nothing;
        restore_state(reader, name(), nothing);
    }
};

/// One port that takes accesses of any width.
constexpr AddressRange whole_port(std::uint64_t port) { return {.first = port, .size = 1, .whole = true}; }

}  // namespace asyncvm
