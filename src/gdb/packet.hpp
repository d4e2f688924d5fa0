/// The frame around everything that gdb and a stub say to each other: $text#checksum. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::gdb {

/// What has come from gdb, in order.
struct Received {
    enum class Kind {
        packet,
        damaged,    ///< a packet whose checksum is wrong, or that is too long
        interrupt,  ///< Ctrl-C: a byte of its own between packets
        resend,     ///< '-': the last reply has arrived damaged
    };
    Kind kind = Kind::packet;
    std::string text;  ///< of a packet: without its frame, escapes undone
};

/// Makes packets of the bytes of a stream, however they are cut.
class PacketReader {
public:
    static constexpr std::size_t longest = 0x10000;  ///< bytes of a packet's text

    void take(std::span<const std::byte> bytes, std::vector<Received>& into);

    /// From now on checksums are not looked at: the other side does not want to be told.
    void trust() noexcept { trusts_ = true; }

private:
    enum class State { between, text, escaped, first_digit, second_digit };
    void take(char c, std::vector<Received>& into);
    void add(char c);
    void finish(std::vector<Received>& into);

    State state_ = State::between;
    std::string text_;
    unsigned char sum_ = 0;
    bool too_long_ = false;
    bool trusts_ = false;
    std::string digits_;
};

/// The packet whose text is `text`, any bytes: escaped, and with runs of one byte shortened.
[[nodiscard]] std::string frame(std::string_view text);

}  // namespace asyncvm::gdb
