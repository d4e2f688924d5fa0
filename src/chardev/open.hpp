/// From a ChardevSpec to a Chardev that works.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/log.hpp>
#include <chardev/spec.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace asyncvm {

struct ChardevEnvironment {
    asio::io_context& loop;           ///< the device loop; one that is destroyed closes its chardevs
    Log log{};                        ///< told where a chardev listens, what it waits for, what goes wrong
    std::string label = "serial0";    ///< begins each line on the log
    std::function<void()> on_quit{};  ///< stdio: Ctrl-A x was typed. On the device loop
    bool input = true;                ///< stdio: whether this device reads standard input
    /// tcp and unix that listen: how long a new client that has neither sent anything nor closed its direction is kept from
    /// the output, so that a probe of the port eats none; a fifth of it while there is nothing to eat. A probe that takes
    /// longer to leave is a client like any other.
    std::chrono::milliseconds patience{5};
};

/// Opens what `spec` says and starts its work on the loop. On the device loop's thread, or before it runs. The chardev is
/// closed when the last owner lets it go.
///
/// All stdio chardevs of a process share one queue, so that the order of their output is kept; one of them may have `input`.
/// The options of the first that is opened count.
///
/// Throws Error(host) that says what can't be opened, why and what to do; Error(usage) for a second stdio with input.
[[nodiscard]] std::shared_ptr<Chardev> open_chardev(const ChardevSpec& spec, ChardevEnvironment environment);

}  // namespace asyncvm
