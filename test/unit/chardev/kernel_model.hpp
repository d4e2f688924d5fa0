/// A model of a connected socket, its peer and a guest, with the three loops that follow a ConnectionFsm: readiness is a
/// level, as the kernel's is, so a loop that waits for what stays true shows.
#pragma once

#include <chardev/connection_fsm.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>

namespace asyncvm::test {

/// What a kernel does with a socket and with its peer's. Bytes are numbers of bytes.
struct SocketModel {
    bool local = false;
    std::uint64_t in = 0;       ///< from the peer, not read
    std::uint64_t held = 0;     ///< for the peer, not acknowledged (unix: not read)
    std::uint64_t reached = 0;  ///< what the peer has acknowledged in truth
    bool end_held = false;      ///< TCP: the end of file is not acknowledged
    bool peer_ended = false;    ///< SHUT_WR
    bool peer_refuses = false;  ///< unix: SHUT_RD
    bool peer_gone = false;     ///< closed
    bool error = false;         ///< ECONNRESET
    bool shut = false;          ///< this side's SHUT_WR
    bool closed = false;
    bool by_reset = false;
    std::uint64_t held_at_close = 0;

    static constexpr std::uint64_t capacity = 20;

    [[nodiscard]] bool hung_up() const {
        if (error || (local && peer_gone)) return true;
        return peer_ended && (shut || (local && peer_refuses));
    }
    [[nodiscard]] bool readable() const { return in > 0 || peer_ended || peer_gone || error; }
    [[nodiscard]] bool writable() const { return held < capacity || error || hung_up(); }

    void acknowledge(std::uint64_t bytes) {
        bytes = std::min(bytes, held);
        held -= bytes;
        reached += bytes;
        if (held == 0) end_held = false;
    }
    void peer_closes() {
        if (peer_gone) return;
        peer_gone = peer_ended = true;
        if (!local) return;
        error = held > 0;
        held = 0;  // forgotten
    }
    void peer_resets() {
        peer_closes();
        error = true;
    }
};

class ModelRun {
public:
    explicit ModelRun(unsigned seed) : random_(seed), ends_with_input_(seed % 3 == 0), fsm_(seed % 2 == 0, seed % 3 == 0) {
        socket_.local = seed % 2 == 0;
        if (ends_with_input_) fsm_.connected();
    }

    [[nodiscard]] bool over() const { return fsm_.over(); }

    /// Something outside of the connection.
    void something_happens() {
        const auto some = [this] { return 1 + random_() % 15; };
        switch (random_() % 18) {
            case 0:
            case 1:
                if (!socket_.peer_ended) peer_sends(some());
                break;
            case 2:
            case 3:
                unsent_ += some();
                break;
            case 4:
            case 5:
                if (!socket_.peer_gone) socket_.acknowledge(some());
                break;
            case 6:
            case 7:
                in_queue_ -= std::min<std::uint64_t>(in_queue_, some());
                break;
            case 8:
                socket_.peer_ended = true;
                break;
            case 9:
                socket_.peer_ended = true;
                socket_.peer_refuses = socket_.local;
                break;
            case 10:
                socket_.peer_closes();
                break;
            case 11:
                if (random_() % 4 == 0) socket_.peer_resets();
                break;
            case 12:
                fsm_.connected();
                break;
            case 13:
                if (random_() % 4 == 0) fsm_.guest_ended();
                break;
            case 14:
                if (random_() % 4 == 0) finish(now_ + std::chrono::milliseconds(random_() % 3000));
                break;
            case 15:
                // Only such a client is put out, and nobody puts a server out.
                if (!ends_with_input_ && fsm_.may_be_put_out()) fsm_.put_out();
                break;
            case 16:
                fsm_.window(random_() % 100);
                break;
            default:
                now_ += std::chrono::milliseconds(random_() % 1200);
                break;
        }
        notified_ = true;
    }

    /// Runs the loops until each of them waits for something that is not the case. Returns whether that comes about.
    [[nodiscard]] bool come_to_rest() {
        constexpr int enough = 400;
        for (int steps = 0; steps < enough; ++steps) {
            bool moved = output_step();
            moved |= input_step();
            moved |= watch_step();
            moved |= ending_step();
            if (!moved) return true;
        }
        return false;
    }

    /// What must hold at each rest, as a text if it does not.
    [[nodiscard]] std::string broken_promise() const {
        if (fsm_.arrived() > socket_.reached) return "more has arrived than the peer has";
        if (!fsm_.over()) return {};
        if (!fsm_.discards() && handed_over_ != sent_by_peer_) return "input is lost";
        if (socket_.by_reset && socket_.held_at_close == 0 && !socket_.end_held)
            return "a reset, though everything had arrived";
        const bool again = !finished_ && !fsm_.dead() && !socket_.local;
        if (again && !socket_.by_reset && socket_.held_at_close > 0) return "the peer gets a rest that is sent again";
        return {};
    }

    [[nodiscard]] bool ends_when_abandoned() {
        finished_ = true;
        fsm_.abandoned();
        notified_ = true;
        return come_to_rest() && fsm_.over();
    }

    /// With nothing more from the peer, and its window open.
    [[nodiscard]] bool ends_when_finished(std::chrono::milliseconds limit) {
        fsm_.window(1000);
        finish({});
        const auto until = now_ + limit;
        while (!fsm_.over() && now_ < until) {
            notified_ = true;
            if (!come_to_rest()) return false;
            now_ += std::chrono::milliseconds(10);
        }
        return fsm_.over();
    }

private:
    static constexpr std::uint64_t room = 20;

    void finish(std::optional<ConnectionFsm::Time> deadline) {
        finished_ = true;
        fsm_.finish(deadline, now_);
    }
    void peer_sends(std::uint64_t bytes) {
        if (socket_.closed) return;
        socket_.in += bytes;
        sent_by_peer_ += bytes;
    }
    void look() {
        if (socket_.closed) return;
        if (socket_.local && socket_.error) fsm_.failed();
        fsm_.unacknowledged(socket_.held + (socket_.end_held ? 1 : 0), now_);
        if (socket_.peer_ended) fsm_.peer_ended();
        if (socket_.error) fsm_.failed();
        if (socket_.hung_up()) fsm_.hung_up(now_);
    }

    bool output_step() {
        switch (fsm_.output()) {
            case ConnectionFsm::Output::write:
                look();
                if (fsm_.output() != ConnectionFsm::Output::write) return true;
                if (unsent_ == 0) {
                    fsm_.nothing_to_send();
                } else if (socket_.error) {
                    fsm_.failed();
                } else if (socket_.hung_up() || socket_.peer_refuses) {
                    fsm_.refused(now_);
                } else if (socket_.held >= SocketModel::capacity) {
                    fsm_.not_writable();
                } else {
                    send();
                }
                return true;
            case ConnectionFsm::Output::wait_output:
                if (unsent_ == 0) return false;
                fsm_.output_ready();
                return true;
            case ConnectionFsm::Output::wait_writable:
                if (!socket_.writable()) return false;
                fsm_.writable();
                return true;
            case ConnectionFsm::Output::hold:
                return false;
            case ConnectionFsm::Output::stop:
                return stop(output_stopped_);
        }
        return false;
    }

    void send() {
        const auto bytes = std::min(unsent_, SocketModel::capacity - socket_.held);
        unsent_ -= bytes;
        fsm_.sent(bytes);
        socket_.held += bytes;
        // Nobody is there any more: the kernel finds out by sending.
        if (!socket_.local && socket_.peer_gone) socket_.error = true;
    }

    bool input_step() {
        switch (fsm_.input()) {
            case ConnectionFsm::Input::read:
            case ConnectionFsm::Input::discard:
                read(fsm_.discards() ? room : room - in_queue_);
                return true;
            case ConnectionFsm::Input::wait_readable:
                if (!socket_.readable()) return false;
                fsm_.readable();
                return true;
            case ConnectionFsm::Input::wait_room:
                if (in_queue_ >= room) return false;
                fsm_.room();
                return true;
            case ConnectionFsm::Input::stop:
                return stop(input_stopped_);
        }
        return false;
    }

    void read(std::uint64_t most) {
        const auto bytes = std::min(socket_.in, most);
        if (most == 0) {
            fsm_.no_room();
        } else if (bytes > 0) {
            socket_.in -= bytes;
            fsm_.received();
            handed_over_ += bytes;
            if (!fsm_.discards()) in_queue_ += bytes;
        } else if (socket_.error) {
            fsm_.failed();
        } else if (socket_.peer_ended) {
            fsm_.input_ended(now_);
        } else {
            fsm_.nothing_to_read();
        }
    }

    bool watch_step() {
        if (watch_stopped_ || !(socket_.error || socket_.hung_up())) return false;
        look();
        notified_ = true;
        // As the real one: a hang-up stays.
        watch_stopped_ = fsm_.has_hung_up() || fsm_.dead();
        return true;
    }

    bool ending_step() {
        const bool due = fsm_.look_again(looked_) <= now_;
        if (!notified_ && !due) return false;
        if (ending_waits_ && !notified_ && looked_ == now_) return false;
        notified_ = false;
        look();
        looked_ = now_;
        ending_waits_ = false;
        switch (fsm_.ending(now_)) {
            case ConnectionFsm::Ending::wait:
                ending_waits_ = true;
                return false;
            case ConnectionFsm::Ending::shut_output:
                socket_.shut = true;
                socket_.end_held = !socket_.local && !socket_.error;
                fsm_.output_shut(socket_.end_held);
                break;
            case ConnectionFsm::Ending::hand_over:
                handed_over_ += socket_.in;
                socket_.in = 0;
                fsm_.handed_over();
                break;
            case ConnectionFsm::Ending::close:
            case ConnectionFsm::Ending::reset:
                socket_.by_reset = fsm_.ending(now_) == ConnectionFsm::Ending::reset;
                socket_.held_at_close = socket_.held;
                socket_.closed = true;
                fsm_.closed();
                break;
            case ConnectionFsm::Ending::over:
                return false;
        }
        notified_ = true;
        return true;
    }

    bool stop(bool& stopped) {
        if (stopped) return false;
        stopped = true;
        notified_ = true;
        return true;
    }

    std::mt19937 random_;
    bool ends_with_input_;
    ConnectionFsm fsm_;
    SocketModel socket_;
    ConnectionFsm::Time now_{};
    ConnectionFsm::Time looked_{};
    std::uint64_t unsent_ = 0;
    std::uint64_t in_queue_ = 0;  ///< what the guest has not taken
    std::uint64_t sent_by_peer_ = 0;
    std::uint64_t handed_over_ = 0;
    bool notified_ = true;
    bool ending_waits_ = false;
    bool finished_ = false;
    bool output_stopped_ = false;
    bool input_stopped_ = false;
    bool watch_stopped_ = false;
};

}  // namespace asyncvm::test
