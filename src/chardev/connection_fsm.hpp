/// The life of one connection as a state machine: events go in, the next action comes out. Pure: no socket, no clock, no
/// coroutine.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace asyncvm {

/// The owner of a connection follows three answers, each in a loop of its own:
///
///     input()     what to do about bytes from the peer
///     output()    what to do about bytes for the peer
///     ending(now) what to do about the connection itself
///
/// Each answer is either a wait or an action. After an action the owner reports its result, and then the answer differs or
/// bytes have moved: no answer repeats without an event, so none of the loops can spin.
///
///     connecting ─► open ─► draining ─► closing ─► dead
///
/// The rules:
/// - A hang-up is no death on TCP: it also shows when both sides have ended their output while bytes are under way.
/// - A unix peer that has hung up takes and sends no more, but may still read what the kernel holds for it.
/// - What the kernel holds from the peer is handed over before the connection is closed, whatever the reason.
/// - Bytes have arrived if the peer has acknowledged them while it lived. Nothing else makes them arrive.
/// - A rest that will be sent again is closed by a reset, so that the peer does not get it twice.
class ConnectionFsm {
public:
    using Time = std::chrono::steady_clock::time_point;

    enum class State : std::uint8_t {
        connecting,  ///< the peer gets no output yet
        open,
        draining,  ///< the guest has ended: input is thrown away, output goes on
        closing,   ///< no more output: acknowledgements are waited for
        dead,
    };
    enum class Input : std::uint8_t {
        read,           ///< read and hand over; then received(), nothing_to_read(), no_room(), input_ended() or failed()
        discard,        ///< the same, but throw the bytes away
        wait_readable,  ///< until the socket is readable; then readable()
        wait_room,      ///< until the guest has taken input, or input() differs; then room()
        stop,           ///< for good
    };
    enum class Output : std::uint8_t {
        hold,           ///< until output() differs
        write,          ///< then sent(), nothing_to_send(), not_writable(), refused() or failed()
        wait_output,    ///< until there is output; then output_ready()
        wait_writable,  ///< until the socket is writable; then writable()
        stop,           ///< for good
    };
    enum class Ending : std::uint8_t {
        wait,         ///< for an event, at most until look_again()
        shut_output,  ///< then output_shut()
        hand_over,    ///< what the kernel holds from the peer, without a limit of room; then handed_over()
        close,        ///< then closed()
        reset,        ///< close, and tell the peer that there was more; then closed()
        over,         ///< nothing, for good
    };

    /// `local`: a unix socket. `ends_with_input`: the connection ends when the peer ends its output.
    ConnectionFsm(bool local, bool ends_with_input) noexcept : local_(local), ends_with_input_(ends_with_input) {}

    [[nodiscard]] Input input() const noexcept;
    [[nodiscard]] Output output() const noexcept;
    [[nodiscard]] Ending ending(Time now) noexcept;
    /// While ending() says wait: when to look at the socket and ask again, though nothing has happened. Time::max(): never.
    [[nodiscard]] Time look_again(Time now) const noexcept;

    // What has happened. `now` where a wait depends on it.

    /// The peer may have output.
    void connected() noexcept;
    void received() noexcept { heard_ = true; }
    void nothing_to_read() noexcept { input_wait_ = Input::wait_readable; }
    void no_room() noexcept { input_wait_ = Input::wait_room; }
    void readable() noexcept { input_wait_.reset(); }
    void room() noexcept { input_wait_.reset(); }
    /// End of file: the peer sends no more, and everything from it has been read.
    void input_ended(Time now) noexcept;
    /// The peer sends no more, but its last bytes have not been read.
    void peer_ended() noexcept;
    /// The kernel has taken `bytes`, more than none.
    void sent(std::uint64_t bytes) noexcept { sent_ += bytes; }
    void nothing_to_send() noexcept { output_wait_ = Output::wait_output; }
    void not_writable() noexcept { output_wait_ = Output::wait_writable; }
    void output_ready() noexcept { output_wait_.reset(); }
    void writable() noexcept { output_wait_.reset(); }
    /// The peer takes no more output (EPIPE).
    void refused(Time now) noexcept;
    /// The connection is dead: a reset, a time-out.
    void failed() noexcept { failed_ = true; }
    /// The socket reports a hang-up.
    void hung_up(Time now) noexcept;
    /// The kernel still holds `bytes` for the peer, an end of file of TCP counted as one. Not to be told once a unix peer
    /// has gone: the kernel has forgotten by then.
    void unacknowledged(std::uint64_t bytes, Time now) noexcept;
    /// TCP: so many bytes the peer's kernel has room for.
    void window(std::uint64_t bytes) noexcept;
    /// The guest has ended.
    void guest_ended() noexcept;
    /// Nothing more will be sent, here or in another connection. Waits for the peer to close, at most until `deadline`.
    void finish(std::optional<Time> deadline, Time now) noexcept;
    /// Another client takes the place.
    void put_out() noexcept { put_out_ = true; }
    /// The output goes elsewhere from now on: the peer gets what is under way and the end of file, and what it does not take
    /// is for the other place. A unix peer has what was sent: it can be read when this end is closed.
    void part(Time now) noexcept;
    /// The chardev is closed: no waits any more, and nothing is sent again.
    void abandoned() noexcept;
    /// `counts`: the end of file is under way, as a byte that will be acknowledged.
    void output_shut(bool counts) noexcept;
    void handed_over() noexcept { handed_over_ = true; }
    void closed() noexcept { state_ = State::dead; }

    // What is known.

    [[nodiscard]] State state() const noexcept { return state_; }
    [[nodiscard]] bool over() const noexcept { return state_ == State::dead; }
    [[nodiscard]] bool dead() const noexcept { return failed_; }
    [[nodiscard]] bool heard() const noexcept { return heard_; }
    [[nodiscard]] bool local() const noexcept { return local_; }
    [[nodiscard]] bool has_input_ended() const noexcept { return input_ended_; }
    [[nodiscard]] bool has_hung_up() const noexcept { return hung_up_; }
    /// Input is no longer for the guest.
    [[nodiscard]] bool discards() const noexcept { return guest_ended_; }
    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    /// Bytes of sent() that have reached the peer.
    [[nodiscard]] std::uint64_t arrived() const noexcept { return arrived_; }
    /// Everything that was sent has arrived, the end of file included.
    [[nodiscard]] bool all_arrived() const noexcept { return unacknowledged_ == 0; }
    /// The peer sends no more, and nothing shows that it still listens: another client may have the place.
    [[nodiscard]] bool may_be_put_out() const noexcept { return peer_ended_ && !local_ && arrived_ <= sent_at_end_; }
    /// Everything has arrived, in the peer's kernel; that it was read is not known, because the peer has not closed.
    [[nodiscard]] bool arrived_unconfirmed() const noexcept {
        return !local_ && !input_ended_ && !failed_ && sent_ > 0 && arrived_ == sent_;
    }
    /// TCP: about how many bytes the peer's kernel has acknowledged and the peer has not read, told from its window; 0 where
    /// there are few, or none.
    [[nodiscard]] std::uint64_t unread_at_peer() const noexcept;

private:
    void close_from(Time now) noexcept;
    [[nodiscard]] bool keeps_what_was_sent() const noexcept { return local_ && parted_ && !hung_up_ && !failed_; }
    [[nodiscard]] bool settled() const noexcept;
    [[nodiscard]] Time limit() const noexcept;

    bool local_;
    bool ends_with_input_;
    State state_ = State::connecting;
    std::optional<Input> input_wait_;
    std::optional<Output> output_wait_;
    bool heard_ = false;
    bool peer_ended_ = false;   ///< the peer sends no more
    bool input_ended_ = false;  ///< and everything from it has been read
    bool output_shut_ = false;
    bool end_counts_ = false;
    bool hung_up_ = false;
    bool failed_ = false;
    bool put_out_ = false;
    bool parted_ = false;
    bool guest_ended_ = false;
    bool final_ = false;  ///< what does not arrive here is not sent again
    bool dying_ = false;  ///< decided: hand over and close
    bool handed_over_ = false;
    std::uint64_t sent_ = 0;
    std::uint64_t arrived_ = 0;
    std::uint64_t unacknowledged_ = 0;
    std::uint64_t sent_at_end_ = 0;  ///< sent() when the peer had ended its output
    std::uint64_t window_ = 0;
    std::uint64_t widest_ = 0;  ///< the largest window so far
    Time progress_{};           ///< closing: since when nothing has arrived
    std::optional<Time> deadline_;
};

}  // namespace asyncvm
