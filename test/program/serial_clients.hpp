/// Clients that are killed in the middle, and the books on what they got.
#pragma once

#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <cstdint>
#include <random>
#include <string>

namespace program_test {

/// One client after the other follows a text of numbered blocks. Where a client begins is told from the numbers in what it
/// gets; where it may begin is known from the one before.
///
/// A client that is killed with unread input is ended by a reset. What its kernel had received and acknowledged is lost, at
/// most. What its kernel had received and not yet acknowledged (which may be late by some 40 ms) must come again, since
/// nobody but that kernel knows about it: less than 88 bytes, on loopback, but for few.
class Follower {
public:
    Follower(const Child& program, std::string address, std::uint64_t size);

    /// Connects, checks where the text goes on, reads a random number of bytes, and dies with whatever else has arrived.
    /// Half of these clients send something at last, by which their kernel acknowledges all that it has: the next one begins
    /// exactly behind that.
    void kill_one();
    /// Connects, checks where the text goes on, reads up to `end` and leaves.
    void read_up_to(std::uint64_t end);
    /// The same, to the end of the stream.
    void read_the_rest();

    /// At least so many bytes have not been read.
    [[nodiscard]] std::uint64_t remaining() const noexcept { return size_ - latest_; }
    [[nodiscard]] unsigned killed() const noexcept { return killed_; }
    /// Checks that too much came twice only now and then. Tells Boost.Test's log how much was lost, and how much came twice.
    void report() const;

private:
    /// Takes what a new client has got first, and checks it. Returns the position behind it.
    std::uint64_t begin(std::string_view text);

    const Child& program_;
    std::string address_;
    std::uint64_t size_;
    std::uint64_t earliest_ = 0;  ///< the next client begins here, or later
    std::uint64_t latest_ = 0;    ///< and not behind this
    std::uint64_t read_ = 0;      ///< the clients so far have read the text up to here
    std::mt19937 random_{20240229};
    unsigned killed_ = 0;
    unsigned repeats_ = 0;
    unsigned late_ = 0;  ///< of these, where it was more than a delayed acknowledgement explains
    std::uint64_t repeated_ = 0;
    std::uint64_t lost_ = 0;
};

}  // namespace program_test
