#include <chardev/telnet.hpp>

#include <string_view>

namespace asyncvm {
namespace {

constexpr std::uint8_t se = 240, are_you_there = 246, sb = 250, will = 251, wont = 252, do_ = 253, dont = 254;
constexpr std::uint8_t binary = 0, echo = 1, suppress_go_ahead = 3;

void say(std::vector<std::byte>& out, std::uint8_t verb, std::uint8_t option) {
    out.insert(out.end(), {Telnet::iac, std::byte{verb}, std::byte{option}});
}

/// What this side is willing to do, and to let the client do.
bool welcome_here(std::uint8_t option) { return option == binary || option == echo || option == suppress_go_ahead; }
bool welcome_there(std::uint8_t option) { return option == binary || option == suppress_go_ahead; }

}  // namespace

std::vector<std::byte> Telnet::greeting() {
    std::vector<std::byte> out;
    for (const auto option : {echo, suppress_go_ahead, binary}) {
        ours_.set(option);
        say(out, will, option);
    }
    theirs_.set(binary);
    say(out, do_, binary);
    return out;
}

void Telnet::decode(std::span<const std::byte> in, std::vector<std::byte>& data, std::vector<std::byte>& reply) {
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
                    take_data(byte, data);
                }
                break;
            case State::command:
                state_ = State::data;
                if (byte == iac) {
                    take_data(byte, data);
                } else if (value >= will && value <= dont) {
                    verb_ = value;
                    state_ = State::option;
                } else if (value == sb) {
                    state_ = State::subnegotiation;
                } else if (value == are_you_there) {
                    for (const char c : std::string_view("\r\n[yes]\r\n")) reply.push_back(static_cast<std::byte>(c));
                }
                break;
            case State::option:
                state_ = State::data;
                take_option(value, reply);
                break;
            case State::subnegotiation:
                if (byte == iac) state_ = State::subnegotiation_command;
                break;
            case State::subnegotiation_command:
                // An escaped 255 inside, or the end. Anything else is a broken client: wait for the end all the same.
                state_ = value == se ? State::data : State::subnegotiation;
                break;
        }
    }
}

void Telnet::take_data(std::byte byte, std::vector<std::byte>& data) {
    data.push_back(byte);
    if (byte == std::byte{'\r'} && !binary_) state_ = State::carriage_return;
}

/// Only changes are answered, so that two sides never talk in circles (RFC 854).
void Telnet::take_option(std::uint8_t option, std::vector<std::byte>& reply) {
    switch (verb_) {
        case do_:
            if (ours_[option]) break;
            ours_[option] = welcome_here(option);
            say(reply, ours_[option] ? will : wont, option);
            break;
        case dont:
            if (ours_[option]) say(reply, wont, option);
            ours_.reset(option);
            break;
        case will:
            if (!theirs_[option]) {
                theirs_[option] = welcome_there(option);
                say(reply, theirs_[option] ? do_ : dont, option);
            }
            if (option == binary) binary_ = true;
            break;
        case wont:
            if (theirs_[option]) say(reply, dont, option);
            theirs_.reset(option);
            if (option == binary) binary_ = false;
            break;
        default:
            break;
    }
}

}  // namespace asyncvm
