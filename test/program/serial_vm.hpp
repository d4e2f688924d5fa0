/// The program with a byte device on a socket.
#pragma once

#include "harness.hpp"
#include "serial_peer.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace program_test {

/// Starts a guest with `--serial SERIAL`.
class SerialVm : public Child {
public:
    explicit SerialVm(const std::string& serial, std::vector<std::string> arguments);

    /// Where a device listens, from what the program says about it: "tcp:127.0.0.1:41234".
    [[nodiscard]] std::string address(std::string_view label = "serial0");
    [[nodiscard]] std::string port(std::string_view label = "serial0");
    [[nodiscard]] Peer connect(int receive_buffer = 0) { return Peer::connect(address(), receive_buffer); }

    /// Checks that the program ends by itself, with `code` and not by a signal.
    void check_end(int code = 0);
};

/// While it lives no thread of the program runs: what its clients' kernels have received stays as it is.
class Frozen {
public:
    explicit Frozen(const Child& child);
    ~Frozen();
    Frozen(const Frozen&) = delete;
    Frozen& operator=(const Frozen&) = delete;

private:
    const Child& child_;
};

/// The arguments for a guest that prints `count` blocks and halts.
[[nodiscard]] std::vector<std::string> printing_blocks(unsigned count);
/// The arguments for a guest that prints a block for each byte that it gets, and halts at Ctrl-D.
[[nodiscard]] std::vector<std::string> blocks_on_request();
inline constexpr std::string_view no_more_blocks = "\x04";

}  // namespace program_test
