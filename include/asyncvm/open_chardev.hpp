/// Opening a chardev from a text such as "tcp:4444": what a program needs to give a device its other end.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/observer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm {

/// Where a chardev goes, and how: the parsed form of the text after `--serial`. docs/serial.md says what each option does.
struct ChardevSpec {
    enum class Kind : std::uint8_t { null, stdio, file, pty, tcp, unix_socket };
    enum class Full : std::uint8_t {
        wait,  ///< the guest waits
        drop,  ///< the oldest output goes; it is counted and reported
    };

    Kind kind = Kind::null;
    std::string host;        ///< tcp: a name or an address without brackets; empty: loopback
    std::uint16_t port = 0;  ///< tcp: 0 lets the kernel pick one
    std::string path;        ///< file, unix_socket; pty: a symbolic link to make, if not empty

    bool client = false;  ///< tcp, unix_socket: connect (and reconnect) instead of listening
    bool telnet = false;  ///< tcp: speak telnet
    bool wait = false;    ///< Chardev::ready() completes when the first client is there
    bool append = false;  ///< file, log: keep what is in them
    Full full = Full::wait;
    std::uint64_t backlog = 1 << 20;  ///< bytes of output that are kept for the other side; at least 1
    std::uint64_t history = 0;        ///< bytes of delivered output that each new client is shown again
    std::string log;                  ///< a file that gets a copy of all output; empty: none
    /// How long drain() may take; empty: as long as it needs, and 2 s for a full disk.
    std::optional<std::chrono::milliseconds> linger;
    std::chrono::milliseconds reconnect{1000};  ///< client: from one attempt to the next; more than 0

    TerminalSize size{};  ///< of the terminal at the other end, unless it says its size itself

    bool operator==(const ChardevSpec&) const = default;
};

/// Parses `tcp:[HOST:]PORT`, `telnet:[HOST:]PORT`, `unix:PATH`, `file:PATH`, `pty`, `stdio` or `null` (also `none`, `off`),
/// each with
/// `,option[=value]...`. A comma that belongs to a path is doubled. Opens nothing. Any thread. Throws Error(usage); its text
/// says what is wrong and gives an example.
[[nodiscard]] ChardevSpec parse_chardev_spec(std::string_view text);

/// What a chardev gets from the program.
struct ChardevEnvironment {
    asio::io_context& loop;           ///< the device loop; a loop that is destroyed closes its chardevs
    Log log{};                        ///< is called on the device loop: where a chardev listens, what it waits for, errors
    std::string label = "serial0";    ///< begins each line on the log
    std::function<void()> on_quit{};  ///< stdio: Ctrl-A x was typed. On the device loop
    bool input = true;                ///< stdio: whether this device reads standard input
    /// tcp and unix that listen: how long a new client that has neither sent anything nor closed its direction gets no
    /// output, so that a probe of the port takes none; a fifth of it while there is no output. A probe that stays longer is
    /// a client like any other.
    std::chrono::milliseconds patience{5};
    std::shared_ptr<Observer> observer{};  ///< hears of clients, bytes and changes; null: nobody does
};

/// Opens what `spec` describes and starts its work on the loop. Call it on the device loop's thread, or before the loop
/// runs. The chardev is closed by Chardev::close() or when the last owner lets it go, both on the device loop (or when it no
/// longer runs).
///
/// All stdio chardevs of a process share one queue, so that the order of their output is kept; one of them may have `input`.
/// The options of the first one that is opened hold for all; a later one has the same, or none.
///
/// Throws Error(host) if something can't be opened, with the reason and a remedy in its text; Error(usage) for a second
/// stdio with input or with other options, or a path that is too long for a socket.
[[nodiscard]] std::shared_ptr<Chardev> open_chardev(const ChardevSpec& spec, ChardevEnvironment environment);

/// Where an open chardev goes from now on.
struct ChardevChange {
    ChardevSpec spec;
    bool input = true;           ///< as ChardevEnvironment::input
    bool connect_later = false;  ///< client: the change succeeds also while its server does not answer
};

/// Gives `chardev`, which open_chardev() has made, another end, while its device goes on. Output that nobody has taken goes
/// to the new end, in order; input that the device has not taken stays for it. A client of the old end gets what is under
/// way to it and the end of file; one that takes nothing is not waited for longer than two seconds. When this completes the
/// old end's sockets and files are closed and removed; several changes of one chardev are carried out one after the other. A
/// log that has the same path goes on. Device loop.
///
/// Where a standard stream is shared by several devices, its output stays there, and a change to stdio changes nothing.
///
/// Throws what open_chardev() throws, and Error(host) if a server does not answer within 10 s, or if the chardev is closed
/// meanwhile: the old end is there then, and works.
[[nodiscard]] awaitable<void> change_chardev(std::shared_ptr<Chardev> chardev, ChardevChange to);

/// With what `chardev`, which open_chardev() has made, was opened, or changed last. Device loop.
[[nodiscard]] ChardevSpec spec_of(const Chardev& chardev);

/// The same from a text: `open_chardev("tcp:4444", {.loop = loop})`. Also throws what parse_chardev_spec() throws.
[[nodiscard]] std::shared_ptr<Chardev> open_chardev(std::string_view spec, ChardevEnvironment environment);

}  // namespace asyncvm
