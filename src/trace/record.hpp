/// What happened, in 32 bytes: what threads write down at once, to be told later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::trace {

/// What a Record tells, and which of its fields mean something. A vCPU's own are the first six.
enum class Kind : std::uint8_t {
    entered,           ///< the guest goes on; `answered`: with `value` as what the access has read. `address`: a flow's number
    exited_for,        ///< an access of the guest: everything but `flow`; `value` is what it writes
    exited,            ///< for something else; `subject` is the index in the variant Exit
    suspended,         ///< the access waits
    resumed,           ///< it goes on
    ended,             ///< the vCPU runs no more
    interrupt,         ///< `address` is the GSI, `write` its level; `value` is the number of the flow that begins, 0: none
    message,           ///< (MSI) `address`, `count`: the low half of its data; `value` as of `interrupt`
    posted,            ///< posted writes are delivered: as exited_for
    paused,            ///< the machine
    unpaused,          ///< the machine
    reset,             ///< the machine
    run_begins,        ///< the machine
    run_ended,         ///< the machine
    client_came,       ///< `subject` is the chardev's name, here and in the following
    client_left,       ///< also a server that does not answer any more
    elsewhere,         ///< it goes on at the place of name `count`
    full,              ///< the chardev takes no more output
    has_room,          ///< it does again
    output,            ///< `value` bytes since the start
    input,             ///< `value` bytes since the start
    loop_begins,       ///< device `subject` has an access, on the device loop
    loop_ends,         ///< it has answered
    rung,              ///< the device loop hears a doorbell of device `subject`, for the `value`th time since it last did
    told,              ///< device `subject` tells the text of number `count`
    disk_changed,      ///< disk `subject` is in the image of name `count`, which has `value` bytes
    disk_resized,      ///< disk `subject` has `value` bytes
    debugger_stopped,  ///< `subject` is the name of why, `count` the vCPU's number and 1, 0: none; `address`: 0: none
    debugger_goes_on,  ///< and the machine does
    lost,              ///< `value` records that would be here had no room
};

struct Record {
    std::uint64_t time = 0;  ///< CLOCK_BOOTTIME, nanoseconds
    std::uint64_t address = 0;
    std::uint64_t value = 0;  ///< of a transfer: its first element, little-endian
    Kind kind = Kind::lost;
    std::uint8_t size = 0;  ///< bytes of an element
    bool write : 1 = false;
    bool memory : 1 = false;  ///< not a port
    bool answered : 1 = false;
    std::uint16_t subject = 0;  ///< a name, by its number
    std::uint16_t count = 0;    ///< elements; 65535 are that or more
};
static_assert(sizeof(Record) == 32);

/// With ? for each byte that is no printable ASCII: what a trace takes for text must be some.
[[nodiscard]] std::string plain(std::string_view text);

/// Names by numbers. Any thread.
class Names {
public:
    /// The number of `name`, from 1 on; the same for the same name. 0 for the empty name, and for those that come after
    /// 65,534 others.
    [[nodiscard]] std::uint16_t number(std::string_view name) noexcept;
    /// Of a longer name only so much is kept: a format's messages have an end.
    static constexpr std::size_t longest = 1000;
    /// plain(); "?" for a number that there isn't.
    [[nodiscard]] std::string name(std::uint16_t number) const;

private:
    mutable std::mutex mutex_;
    std::vector<std::string> names_;
};

}  // namespace asyncvm::trace
