#include "vsock/stream.hpp"

#include <algorithm>
#include <utility>

namespace asyncvm::vsock {

Stream Stream::from_host(std::uint64_t guest_cid, Ports ports) noexcept {
    Stream stream(guest_cid, ports);
    stream.phase_ = Phase::requested;
    stream.owes_request_ = true;
    return stream;
}

Stream Stream::from_guest(const Packet& request) noexcept {
    Stream stream(request.source_cid, {.host = request.destination_port, .guest = request.source_port});
    stream.guest_buffer_ = request.buffer;
    stream.guest_forwarded_ = request.forwarded;
    stream.owes_response_ = true;
    return stream;
}

void Stream::take(const Packet& packet, std::span<const std::byte> payload) {
    if (phase_ == Phase::dead) return;
    guest_buffer_ = packet.buffer;
    guest_forwarded_ = packet.forwarded;
    if (room() != 0) credit_asked_ = false;
    switch (packet.operation) {
        case Operation::response:
            if (phase_ != Phase::requested) return die(true);
            phase_ = Phase::open;
            return;
        case Operation::reset:
            return die(false);
        case Operation::shutdown:
            if (phase_ != Phase::open) return die(true);
            guest_ended_ = guest_ended_ || (packet.flags & no_more_send) != 0;
            guest_deaf_ = guest_deaf_ || (packet.flags & no_more_receive) != 0;
            return end_if_done();
        case Operation::data:
            if (phase_ != Phase::open || guest_ended_ || payload.size() > capacity - for_socket().size()) return die(true);
            if (held_begin_ != 0) {
                held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(held_begin_));
                held_begin_ = 0;
            }
            held_.insert(held_.end(), payload.begin(), payload.end());
            return;
        case Operation::credit_update:
            credit_asked_ = false;
            return;
        case Operation::credit_request:
            owes_credit_ = true;
            return;
        case Operation::invalid:
        case Operation::request:
            break;
    }
    die(true);
}

std::span<const std::byte> Stream::for_socket() const noexcept { return std::span(held_).subspan(held_begin_); }

void Stream::written(std::size_t count) {
    held_begin_ += count;
    if (held_begin_ == held_.size()) {
        held_.clear();
        held_begin_ = 0;
    }
    forwarded_ += static_cast<std::uint32_t>(count);
    // The guest learns of it before it has to wait.
    if (forwarded_ - told_forwarded_ >= capacity / 4) owes_credit_ = true;
    end_if_done();
}

std::uint32_t Stream::room() const noexcept {
    if (phase_ != Phase::open || guest_deaf_ || (shut_flags_ & no_more_send) != 0) return 0;
    const std::uint32_t under_way = sent_ - guest_forwarded_;
    return under_way < guest_buffer_ ? std::min(guest_buffer_ - under_way, most_payload) : 0;
}

void Stream::want_room() noexcept {
    if (phase_ != Phase::open || room() != 0 || std::exchange(credit_asked_, true)) return;
    owes_credit_request_ = true;
}

Packet Stream::data(std::uint32_t count) noexcept {
    sent_ += count;
    auto result = packet(Operation::data);
    result.length = count;
    return result;
}

void Stream::input_ended(bool closed) noexcept {
    if (phase_ == Phase::requested) return die(true);
    if (phase_ == Phase::open) shut_down(no_more_send | (closed ? no_more_receive : 0));
}

void Stream::fail() noexcept {
    if (phase_ != Phase::dead) die(true);
}

void Stream::shut_down(std::uint32_t flags) noexcept {
    if ((shut_flags_ | flags) == shut_flags_) return;
    shut_flags_ |= flags;
    owes_shutdown_ = true;
    end_if_done();
}

/// A stream that both sides have ended is over with a reset, which the guest waits for.
void Stream::end_if_done() noexcept {
    if (phase_ != Phase::open || !guest_ended_ || !for_socket().empty()) return;
    if (guest_deaf_ || (shut_flags_ & no_more_send) != 0) die(true);
}

void Stream::die(bool with_reset) noexcept {
    // A guest that was never asked knows of nothing.
    owes_reset_ = with_reset && !owes_request_;
    phase_ = Phase::dead;
    owes_request_ = owes_response_ = owes_credit_ = owes_credit_request_ = owes_shutdown_ = false;
    held_.clear();
    held_begin_ = 0;
}

Packet Stream::packet(Operation operation) noexcept {
    Packet result;
    result.source_cid = host_cid;
    result.destination_cid = guest_cid_;
    result.source_port = ports_.host;
    result.destination_port = ports_.guest;
    result.operation = operation;
    result.buffer = capacity;
    result.forwarded = forwarded_;
    told_forwarded_ = forwarded_;
    // Every packet tells the credit.
    owes_credit_ = false;
    return result;
}

bool Stream::owes_packet() const noexcept {
    return owes_request_ || owes_response_ || owes_credit_ || owes_credit_request_ || owes_shutdown_ || owes_reset_;
}

std::optional<Packet> Stream::next_packet() noexcept {
    if (std::exchange(owes_request_, false)) return packet(Operation::request);
    if (std::exchange(owes_response_, false)) return packet(Operation::response);
    if (std::exchange(owes_credit_request_, false)) return packet(Operation::credit_request);
    if (std::exchange(owes_shutdown_, false)) {
        auto result = packet(Operation::shutdown);
        result.flags = shut_flags_;
        return result;
    }
    if (std::exchange(owes_reset_, false)) return packet(Operation::reset);
    if (owes_credit_) return packet(Operation::credit_update);
    return std::nullopt;
}

}  // namespace asyncvm::vsock
