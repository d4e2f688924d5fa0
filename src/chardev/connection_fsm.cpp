#include <chardev/connection_fsm.hpp>

#include <algorithm>

namespace asyncvm {
namespace {

// How long a closing connection may be silent before it is given up.
constexpr auto silence = std::chrono::seconds(1);
// An acknowledgement causes no event: the owner looks for it.
constexpr ConnectionFsm::Time::duration shortest_pause = std::chrono::milliseconds(1);
constexpr ConnectionFsm::Time::duration longest_pause = std::chrono::milliseconds(50);

}  // namespace

ConnectionFsm::Input ConnectionFsm::input() const noexcept {
    if (state_ == State::dead || dying_ || failed_ || input_ended_) return Input::stop;
    if (input_wait_ == Input::wait_readable) return Input::wait_readable;
    if (guest_ended_) return Input::discard;
    return input_wait_.value_or(Input::read);
}

ConnectionFsm::Output ConnectionFsm::output() const noexcept {
    if (state_ >= State::closing || dying_ || failed_ || output_shut_) return Output::stop;
    if (state_ == State::connecting) return Output::hold;
    return output_wait_.value_or(Output::write);
}

ConnectionFsm::Ending ConnectionFsm::ending(Time now) noexcept {
    if (state_ == State::dead) return Ending::over;
    if (!dying_) {
        dying_ = failed_ || put_out_;
        if (!dying_ && state_ == State::closing) {
            if (!output_shut_) return Ending::shut_output;
            dying_ = settled() || now >= limit();
        }
        if (!dying_) return Ending::wait;
    }
    if (!handed_over_) return Ending::hand_over;
    // A unix socket has no reset. What it had under way is in the peer's hands, or forgotten.
    const bool sent_again = !all_arrived() && !final_ && !failed_ && !local_;
    return sent_again ? Ending::reset : Ending::close;
}

ConnectionFsm::Time ConnectionFsm::look_again(Time now) const noexcept {
    if (state_ != State::closing) return Time::max();
    const auto pause = std::clamp((now - progress_) / 4, shortest_pause, longest_pause);
    return std::min(limit(), now + pause);
}

void ConnectionFsm::connected() noexcept {
    if (state_ == State::connecting) state_ = guest_ended_ ? State::draining : State::open;
}

void ConnectionFsm::input_ended(Time now) noexcept {
    peer_ended();
    input_ended_ = true;
    if (ends_with_input_) close_from(now);
}

void ConnectionFsm::peer_ended() noexcept {
    if (peer_ended_) return;
    peer_ended_ = true;
    sent_at_end_ = sent_;
}

void ConnectionFsm::refused(Time now) noexcept {
    if (!local_) {
        failed();
        return;
    }
    output_shut_ = true;
    close_from(now);
}

void ConnectionFsm::hung_up(Time now) noexcept {
    if (hung_up_) return;
    hung_up_ = true;
    if (local_) {
        refused(now);
    } else if (!output_shut_) {
        // This side has not ended its output, so it was not the peer's end of file alone.
        failed();
    }
}

void ConnectionFsm::unacknowledged(std::uint64_t bytes, Time now) noexcept {
    if (local_ && failed_) return;
    if (keeps_what_was_sent()) bytes = 0;
    unacknowledged_ = bytes;
    // An end of file has a place in TCP's numbers, the last one: if anything is under way, it is.
    if (end_counts_ && bytes > 0) --bytes;
    const auto arrived = sent_ - std::min(sent_, bytes);
    if (arrived <= arrived_) return;
    arrived_ = arrived;
    progress_ = std::max(progress_, now);
}

void ConnectionFsm::window(std::uint64_t bytes) noexcept {
    window_ = bytes;
    widest_ = std::max(widest_, bytes);
}

void ConnectionFsm::guest_ended() noexcept {
    guest_ended_ = true;
    if (state_ == State::open) state_ = State::draining;
}

void ConnectionFsm::finish(std::optional<Time> deadline, Time now) noexcept {
    guest_ended();
    final_ = true;
    deadline_ = deadline;
    close_from(now);
}

void ConnectionFsm::abandoned() noexcept {
    guest_ended();
    final_ = true;
    dying_ = true;
}

void ConnectionFsm::part(Time now) noexcept {
    parted_ = true;
    close_from(now);
}

void ConnectionFsm::output_shut(bool counts) noexcept {
    output_shut_ = true;
    end_counts_ = counts;
    if (counts) ++unacknowledged_;
}

void ConnectionFsm::close_from(Time now) noexcept {
    if (state_ >= State::closing) return;
    state_ = State::closing;
    progress_ = now;
}

std::uint64_t ConnectionFsm::unread_at_peer() const noexcept {
    // A smaller part may also be a matter of rounding.
    return local_ || input_ended_ || 4 * window_ >= 3 * widest_ ? 0 : widest_ - window_;
}

bool ConnectionFsm::settled() const noexcept {
    if (!all_arrived()) return false;
    // The last time, the peer closes first: what it sends to a closed socket would take from it what it has not read yet.
    // What has arrived at a unix peer has been read.
    return !final_ || local_ || input_ended_;
}

ConnectionFsm::Time ConnectionFsm::limit() const noexcept {
    if (!final_) return progress_ + silence;
    const auto deadline = deadline_.value_or(Time::max());
    return unread_at_peer() > 0 ? deadline : std::min(deadline, progress_ + silence);
}

}  // namespace asyncvm
