/// The services of a PC's BIOS that boot sectors call. Pure, but for the guest's memory and the disk.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/memory_map.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bios/disk.hpp"
#include "bios/display.hpp"
#include "boot/bios_stub.hpp"

namespace asyncvm::bios {

/// A call's effects outside of its registers and of memory.
struct Answer {
    std::string output{};                ///< for the console
    bool wants_key = false;              ///< call press() and then the same call again
    bool resets = false;                 ///< INT 19h
    std::chrono::microseconds pause{0};  ///< that the call takes
};

class Services {
public:
    static constexpr unsigned state_version = 1;

    Services(Disk disk, std::vector<MemoryRange> map) : disk_(std::move(disk)), map_(std::move(map)) {}

    /// Answers the call in `frame`. `time`: of day.
    [[nodiscard]] Answer call(boot::BiosFrame& frame, GuestMemory& memory, std::chrono::system_clock::time_point time);

    /// A character that somebody has typed: the next key. One at a time.
    void press(std::uint8_t character) noexcept { key_ = character; }
    [[nodiscard]] bool has_key() const noexcept { return key_.has_value(); }

    void reset() {
        key_.reset();
        display_ = {};
    }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("key", key_);
        display_.fields(archive);
    }

private:
    void system(boot::BiosFrame& frame, GuestMemory& memory, Answer& answer) const;
    void keyboard(boot::BiosFrame& frame, Answer& answer);

    Disk disk_;
    std::vector<MemoryRange> map_;
    Display display_;
    std::optional<std::uint8_t> key_;
};

}  // namespace asyncvm::bios
