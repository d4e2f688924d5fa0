/// What a device was asked and what it did, as text: docs/record-replay.md has the grammar.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/device.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::record {

/// One line of a recording.
struct Event {
    enum class Kind : std::uint8_t {
        read,       ///< the guest reads
        write,      ///< the guest writes `value`
        done,       ///< the access before it is answered; a read with `value`
        failed,     ///< the device threw `text`, and is detached
        cancelled,  ///< the access ended without an answer: the machine stopped or was reset
        irq,        ///< the line `number` is `level` from now on
        msi,        ///< the message `value` to `address`
        ring,       ///< the doorbell `number` has been rung
        reset,      ///< the device is as after power-on
    };
    Kind kind = Kind::read;
    std::chrono::nanoseconds at{};  ///< time of the machine, since the device was attached
    Space space = Space::port;
    std::uint8_t size = 0;  ///< of an access, in bytes: 1, 2, 4 or 8; of `done`: 0 if it has no value
    bool level = false;
    unsigned cpu = 0;
    unsigned number = 0;
    std::uint64_t address = 0;
    std::uint64_t value = 0;
    std::string text{};
    std::size_t line = 0;  ///< of the file, from 1

    [[nodiscard]] bool is_access() const noexcept { return kind == Kind::read || kind == Kind::write; }
    [[nodiscard]] bool is_answer() const noexcept {
        return kind == Kind::done || kind == Kind::failed || kind == Kind::cancelled;
    }
    [[nodiscard]] bool is_interrupt() const noexcept { return kind == Kind::irq || kind == Kind::msi; }
};

struct Place {
    Space space = Space::port;
    AddressRange range;
};

/// What comes before the events.
struct Header {
    std::string device;            ///< its name
    unsigned max_access_size = 8;  ///< bytes: 1, 2, 4 or 8
    std::vector<Place> places;
    std::vector<Doorbell> doorbells;  ///< without their descriptors
};

struct Recording {
    Header header;
    std::vector<Event> events;
    std::size_t lines = 0;  ///< of the file
};

/// Several lines, the first of which has the version.
[[nodiscard]] std::string format(const Header& header);

/// One line, with its newline.
[[nodiscard]] std::string format(const Event& event);

/// The line's words without the time, for messages: "write port 0x300 4 0x7".
[[nodiscard]] std::string describe(const Event& event);

/// The event of an access.
[[nodiscard]] Event event_of(const Access& access, bool write) noexcept;

/// Throws Error(usage) that begins with "NAME:LINE: " for what is no recording. A last line without its newline is left out:
/// who wrote it did not come to its end.
[[nodiscard]] Recording parse(std::string_view text, std::string_view name);

/// The same of a file. Throws Error(usage) if it can't be read.
[[nodiscard]] Recording load(const std::string& path);

/// The name of the device in that file, of which no more than its beginning is read. Throws as load().
[[nodiscard]] std::string recorded_device(const std::string& path);

}  // namespace asyncvm::record
