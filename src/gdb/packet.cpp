#include "gdb/packet.hpp"

#include <algorithm>
#include <utility>

#include "gdb/hex.hpp"

namespace asyncvm::gdb {

namespace {

constexpr char escape = '}';
constexpr char escape_bit = 0x20;
constexpr char ctrl_c = 3;

// A run: the byte, '*', and a character that says how often the byte comes again.
constexpr std::size_t run_offset = 29;
constexpr std::size_t shortest_run = 3;
constexpr std::size_t longest_run = '~' - run_offset;

constexpr bool needs_escape(char c) { return c == '$' || c == '#' || c == escape || c == '*'; }

/// The most repetitions, `wanted` at most, whose character does not look like a part of the frame or an acknowledgement.
constexpr std::size_t run_length(std::size_t wanted) {
    std::size_t run = std::min(wanted, longest_run);
    for (;;) {
        const auto c = static_cast<char>(run + run_offset);
        if (c != '#' && c != '$' && c != '+' && c != '-') return run;
        --run;
    }
}

}  // namespace

void PacketReader::take(std::span<const std::byte> bytes, std::vector<Received>& into) {
    for (const std::byte byte : bytes) take(static_cast<char>(byte), into);
}

void PacketReader::take(char c, std::vector<Received>& into) {
    switch (state_) {
        case State::between:
            if (c == '$') {
                text_.clear();
                sum_ = 0;
                too_long_ = false;
                state_ = State::text;
            } else if (c == ctrl_c) {
                into.push_back({Received::Kind::interrupt, {}});
            } else if (c == '-') {
                into.push_back({Received::Kind::resend, {}});
            }
            return;
        case State::text:
        case State::escaped:
            if (c == '#') {
                digits_.clear();
                state_ = State::first_digit;
                return;
            }
            if (c == '$') {
                // A packet that was cut off, and a new one.
                state_ = State::between;
                return take(c, into);
            }
            sum_ = static_cast<unsigned char>(sum_ + static_cast<unsigned char>(c));
            if (state_ == State::escaped) {
                add(static_cast<char>(c ^ escape_bit));
                state_ = State::text;
            } else if (c == escape) {
                state_ = State::escaped;
            } else {
                add(c);
            }
            return;
        case State::first_digit:
            digits_ += c;
            state_ = State::second_digit;
            return;
        case State::second_digit:
            digits_ += c;
            state_ = State::between;
            return finish(into);
    }
}

void PacketReader::add(char c) {
    if (text_.size() == longest) {
        too_long_ = true;
        return;
    }
    text_ += c;
}

void PacketReader::finish(std::vector<Received>& into) {
    const auto said = from_hex(digits_);
    const bool right = trusts_ || (said && static_cast<unsigned char>((*said)[0]) == sum_);
    if (right && !too_long_) {
        into.push_back({Received::Kind::packet, std::exchange(text_, {})});
    } else {
        into.push_back({Received::Kind::damaged, {}});
    }
}

std::string frame(std::string_view text) {
    // Written in place: a debugger that reads memory gets megabytes so. Twice as long at most, by the escapes.
    std::string packet(2 * text.size() + 4, '$');
    char* out = packet.data() + 1;
    const char* in = text.data();
    const char* const end = in + text.size();
    unsigned sum = 0;
    const auto put = [&out, &sum](char c) {
        *out = c;
        ++out;
        sum += static_cast<unsigned char>(c);
    };
    while (in != end) {
        const char c = *in;
        ++in;
        if (needs_escape(c)) {
            put(escape);
            put(static_cast<char>(c ^ escape_bit));
            continue;
        }
        put(c);
        if (in == end || *in != c) continue;
        const char* const stop = end - in > static_cast<std::ptrdiff_t>(longest_run) ? in + longest_run : end;
        const auto again = static_cast<std::size_t>(std::find_if(in, stop, [c](char other) { return other != c; }) - in);
        if (again < shortest_run) continue;
        const std::size_t run = run_length(again);
        put('*');
        put(static_cast<char>(run + run_offset));
        in += run;
    }
    packet.resize(static_cast<std::size_t>(out - packet.data()));
    const auto byte = static_cast<std::byte>(sum);
    return packet + '#' + to_hex(std::span(&byte, 1));
}

}  // namespace asyncvm::gdb
