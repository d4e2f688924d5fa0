#include <chardev/telnet.hpp>

#include <string_view>

namespace asyncvm {
namespace {

constexpr std::uint8_t se = 240, line_break = 243, are_you_there = 246, sb = 250, will = 251, wont = 252, do_ = 253,
                       dont = 254;
constexpr std::uint8_t binary = 0, echo = 1, suppress_go_ahead = 3, window_size = 31;

void add_command(std::vector<std::byte>& out, std::uint8_t verb, std::uint8_t option) {
    out.insert(out.end(), {Telnet::iac, std::byte{verb}, std::byte{option}});
}

/// What this side is willing to do, and to let the client do.
bool welcome_here(std::uint8_t option) { return option == binary || option == echo || option == suppress_go_ahead; }
bool welcome_there(std::uint8_t option) { return option == binary || option == suppress_go_ahead || option == window_size; }

}  // namespace

std::vector<std::byte> Telnet::greeting() {
    std::vector<std::byte> out;
    for (const auto option : {echo, suppress_go_ahead, binary}) {
        ours_.set(option);
        add_command(out, will, option);
    }
    for (const auto option : {binary, window_size}) {
        theirs_.set(option);
        add_command(out, do_, option);
    }
    return out;
}

void Telnet::decode(std::span<const std::byte> in, Decoded& out) {
    for (const auto byte : in) {
        const auto value = std::to_integer<std::uint8_t>(byte);
        switch (state_) {
            case State::carriage_return:
                state_ = State::data;
                if (value == 0) break;  // CR NUL is a bare CR where bytes are not sent unchanged
                [[fallthrough]];
            case State::data:
                if (byte == iac) {
                    state_ = State::command;
                } else {
                    take_data(byte, out.data);
                }
                break;
            case State::command:
                state_ = State::data;
                if (byte == iac) {
                    take_data(byte, out.data);
                } else if (value >= will && value <= dont) {
                    verb_ = value;
                    state_ = State::option;
                } else if (value == sb) {
                    said_size_ = 0;
                    state_ = State::subnegotiation;
                } else if (value == line_break) {
                    out.breaks.push_back(out.data.size());
                } else if (value == are_you_there) {
                    for (const char c : std::string_view("\r\n[yes]\r\n")) out.reply.push_back(static_cast<std::byte>(c));
                }
                break;
            case State::option:
                state_ = State::data;
                take_option(value, out.reply);
                break;
            case State::subnegotiation:
                if (byte == iac) {
                    state_ = State::subnegotiation_command;
                } else {
                    take_subnegotiation(value);
                }
                break;
            case State::subnegotiation_command:
                // An escaped 255 inside, or the end. Anything else is a broken client, whose end is waited for all the same.
                state_ = value == se ? State::data : State::subnegotiation;
                if (value == se) end_subnegotiation(out);
                if (byte == iac) take_subnegotiation(value);
                break;
        }
    }
}

void Telnet::take_data(std::byte byte, std::vector<std::byte>& data) {
    data.push_back(byte);
    if (byte == std::byte{'\r'} && !binary_) state_ = State::carriage_return;
}

void Telnet::take_subnegotiation(std::uint8_t value) {
    if (said_size_ < said_.size()) said_[said_size_] = value;
    if (said_size_ <= said_.size()) ++said_size_;
}

/// The size of the client's window is two numbers of two bytes, the higher byte first. 0: the client does not know it.
void Telnet::end_subnegotiation(Decoded& out) const {
    if (said_size_ != said_.size() || said_[0] != window_size) return;
    const auto number = [this](std::size_t at) { return static_cast<std::uint16_t>(said_[at] << 8 | said_[at + 1]); };
    if (number(1) > 0 && number(3) > 0) out.size = {.columns = number(1), .rows = number(3)};
}

/// Only changes are answered, so that two sides never talk in circles (RFC 854).
void Telnet::take_option(std::uint8_t option, std::vector<std::byte>& reply) {
    switch (verb_) {
        case do_:
            if (ours_[option]) break;
            ours_[option] = welcome_here(option);
            add_command(reply, ours_[option] ? will : wont, option);
            break;
        case dont:
            if (ours_[option]) add_command(reply, wont, option);
            ours_.reset(option);
            break;
        case will:
            if (!theirs_[option]) {
                theirs_[option] = welcome_there(option);
                add_command(reply, theirs_[option] ? do_ : dont, option);
            }
            if (option == binary) binary_ = true;
            break;
        case wont:
            if (theirs_[option]) add_command(reply, dont, option);
            theirs_.reset(option);
            if (option == binary) binary_ = false;
            break;
        default:
            break;
    }
}

void WireMap::add(std::uint64_t wire, std::uint64_t guest) {
    if (wire == 0 && guest == 0) return;
    wire_end_ += wire;
    guest_end_ += guest;
    if (!runs_.empty()) {
        auto& last = runs_.back();
        // The same number of wire bytes for each byte of the guest: one run.
        if (last.wire * guest == wire * last.guest && (last.guest == 0) == (guest == 0)) {
            last.wire += wire;
            last.guest += guest;
            return;
        }
    }
    runs_.push_back({wire, guest});
}

std::uint64_t WireMap::acknowledge(std::uint64_t wire) {
    while (!runs_.empty() && wire >= wire_ + runs_.front().wire) {
        wire_ += runs_.front().wire;
        guest_ += runs_.front().guest;
        runs_.pop_front();
    }
    if (!runs_.empty() && wire > wire_ && runs_.front().guest > 0) {
        // Whole bytes of the guest only: the first half of a doubled one does not count yet.
        auto& run = runs_.front();
        const auto each = run.wire / run.guest;
        const auto whole = (wire - wire_) / each;
        wire_ += whole * each;
        guest_ += whole;
        run.wire -= whole * each;
        run.guest -= whole;
    }
    return guest_;
}

}  // namespace asyncvm
