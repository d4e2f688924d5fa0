/// Where a byte device's output goes and its input comes from: a socket, a terminal, a file.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace asyncvm {

/// How much a terminal shows. 0 by 0: not known.
struct TerminalSize {
    std::uint16_t columns = 0;
    std::uint16_t rows = 0;
    bool operator==(const TerminalSize&) const = default;
};

/// Two bounded byte queues between a device (any thread) and the world (the device loop).
///
/// The functions that a device calls never block and never fail: whatever goes wrong on the other side is the chardev's own
/// to report and to mend. Nothing that was accepted is lost while the chardev lives, unless its options say so
/// (full=drop, linger).
class Chardev {
public:
    Chardev() = default;
    Chardev(const Chardev&) = delete;
    Chardev& operator=(const Chardev&) = delete;
    virtual ~Chardev() = default;

    /// Takes as much of `data` as there is room for, from its start, and returns how much that was. Any thread.
    virtual std::size_t write_some(std::span<const std::byte> data) noexcept = 0;

    /// Whether write_some() takes a burst of 16 bytes now (one byte, if the queue is smaller than two bursts): a driver
    /// that sees it sends that many without another look. Once false this becomes true only when a fair part of the queue is
    /// free again, so that a guest that fills it is not woken for each byte. Any thread.
    [[nodiscard]] virtual bool writable() const noexcept = 0;

    /// How many bytes write_some() would take now. Any thread.
    [[nodiscard]] virtual std::uint64_t room() const noexcept = 0;

    /// Takes up to `data.size()` bytes of input. Any thread.
    virtual std::size_t read_some(std::span<std::byte> data) noexcept = 0;

    /// Whether a BREAK is the next thing in the input; takes it. read_some() stops before a BREAK. A device that has never
    /// asked for one loses it with its next read_some(), and nothing else. Any thread.
    virtual bool take_break() noexcept { return false; }

    /// A BREAK for the device, behind the input that is there, as a telnet client sends one. Nothing where no input comes.
    /// Device loop.
    virtual void send_break() {}

    /// The device ends, and its guest has not seen the last `count` bytes that read_some() gave. A standard input that is a
    /// file is set back by so much, for whoever reads it next; elsewhere they are gone. Any thread.
    virtual void give_back(std::size_t count) noexcept { static_cast<void>(count); }

    /// Whether read_some() or take_break() would return something. Any thread.
    [[nodiscard]] virtual bool readable() const noexcept = 0;

    /// Whether somebody is at the other end. Files and the null device: always. Any thread.
    [[nodiscard]] virtual bool connected() const noexcept = 0;

    /// Of the terminal at the other end: what a telnet client or this process's terminal has said last; else what the
    /// options say. Any thread.
    [[nodiscard]] virtual TerminalSize terminal_size() const noexcept { return {}; }

    /// Notified when writable(), readable(), connected() or terminal_size() has changed, except where this side's own
    /// write_some() or read_some() changed it.
    [[nodiscard]] Event& changed() noexcept { return changed_; }

    /// Writes all of `data`, waiting for room as often as it takes. Any executor.
    [[nodiscard]] awaitable<void> write(std::span<const std::byte> data);

    /// Completes when the guest may start: with `wait` when the first client is there, else at once. Device loop.
    [[nodiscard]] virtual awaitable<void> ready() = 0;

    /// The guest has ended: completes when everything that was accepted has been delivered, the peer's close included
    /// where there is one, or when `linger` has passed. Tells on the log what is being waited for. Returns the number of
    /// bytes that remain undelivered: 0 unless `linger` cut it short. Device loop; may be cancelled.
    [[nodiscard]] virtual awaitable<std::uint64_t> drain() = 0;

    struct Traffic {
        std::uint64_t from_guest = 0;  ///< bytes that were accepted from devices
        std::uint64_t to_guest = 0;    ///< bytes that devices have taken
    };

    /// Since it was opened. Chardevs that share their queues (those of the standard streams) have the same. Any thread.
    [[nodiscard]] virtual Traffic traffic() const { return {}; }

    /// Bytes that have been accepted and not yet delivered, as far as that is known. Device loop.
    [[nodiscard]] virtual std::uint64_t undelivered() { return 0; }

    /// Closes sockets, removes socket files, restores terminals. Idempotent; the destructor does it too. Device loop.
    virtual void close() noexcept = 0;

    /// For messages and reports: "tcp:127.0.0.1:4444".
    [[nodiscard]] virtual std::string description() const = 0;

private:
    Event changed_;
};

}  // namespace asyncvm
