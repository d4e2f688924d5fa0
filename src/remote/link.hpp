/// One connection to a device in another process.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/guest_memory.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "os/unique_fd.hpp"
#include "remote/log_limit.hpp"
#include "remote/poll_set.hpp"
#include "remote/session.hpp"

namespace asyncvm::remote {

/// What the machine has for a device.
struct Machinery {
    GuestMemory* memory = nullptr;
    std::shared_ptr<PauseGate> gate{};
    /// An interrupt line of the offer, 0 or 1. Any thread, one call at a time.
    std::function<void(std::uint32_t line, bool level)> interrupt{};
    /// A line for the log: "says: ...", "refuses ...". Any thread.
    std::function<void(const std::string& text)> log{};
};

class Link;

/// An access on its way, in the frame of the coroutine that makes it. It leaves the link with its end, however it ends.
class Ask {
public:
    /// A read fills `data`, a write takes it; data.size() is access.count.
    Ask(const RegionAccess& of, bool is_write, std::span<std::byte> with) : access(of), write(is_write), data(with) {}
    Ask(const Ask&) = delete;
    Ask& operator=(const Ask&) = delete;
    ~Ask();

    enum class State : std::uint8_t { unasked, waiting, answered, refused, late, lost };

    const RegionAccess access;
    const bool write;
    const std::span<std::byte> data;

private:
    friend class Link;
    State state_ = State::unasked;  ///< with the link's mutex from here on
    std::uint16_t id_ = 0;
    unsigned age_ = 0;  ///< ticks
    std::shared_ptr<OneShot> done_;
    std::shared_ptr<Link> link_;
};

/// Everything that is said on the connection, from VERSION to its end. Whoever has something to say or waits for an answer
/// does it on its own thread, under one mutex; the device loop does what nobody else does.
class Link : public std::enable_shared_from_this<Link> {
public:
    /// `socket` is connected and does not block; `set` watches it until the link ends. `changed` is notified when the link
    /// is at another stage, and when there is room again. A reply may take `timeout`.
    Link(UniqueFd socket, Offer offer, std::chrono::milliseconds timeout, std::shared_ptr<const PollSet> set,
         std::shared_ptr<Event> changed);
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    ~Link();

    enum class Stage : std::uint8_t {
        greeting,  ///< VERSION is not answered
        agreed,    ///< until open()
        mapping,   ///< it is told of the guest's memory
        resetting,
        online,  ///< accesses are made
        ended,
    };
    [[nodiscard]] Stage stage() const;
    /// Empty, or why it has ended: "it has closed the connection".
    [[nodiscard]] std::string why() const;
    /// After Stage::greeting.
    [[nodiscard]] const Agreement& agreement() const noexcept { return session_.agreement(); }
    [[nodiscard]] bool posts() const noexcept { return posts_.load(std::memory_order_relaxed); }

    /// After the constructor, once: VERSION.
    void greet();
    /// At Stage::agreed, once. `reset`: DEVICE_RESET comes before the first access.
    void open(Machinery machinery, bool reset);
    /// The machine is reset: Stage::online comes again when the device has answered.
    void begin_reset();
    /// The first reason counts.
    void end(const std::string& why);

    enum class Turn : std::uint8_t {
        idle,  ///< there is nothing to do until the set is ready
        more,  ///< call again soon
        held,  ///< the gate is closed, and what comes next has to wait for it
        ended,
    };
    /// Does what can be done now.
    Turn turn();

    enum class Start : std::uint8_t { begun, no_room, offline, ended };
    /// Sends a command. With `in_place` the caller is to call await_in_place() next, if `in_place` is still true.
    [[nodiscard]] Start start(Ask& ask, bool& in_place);
    /// Waits for the answer on this thread, for a moment. finish() follows.
    void await_in_place(Ask& ask);
    /// Until there is an answer, or there will be none. Throws std::system_error(operation_aborted) when it is cancelled.
    [[nodiscard]] awaitable<Ask::State> finish(Ask& ask);
    /// Sends a write that nobody answers.
    [[nodiscard]] Start post(const RegionAccess& access, std::span<const std::byte> data);

    /// There was no room for an access, for so long that nobody waits any more.
    void give_up(const RegionAccess& access, bool write);

    /// Accesses that had no answer in time.
    [[nodiscard]] std::uint64_t late() const;

private:
    friend class Ask;

    void leave(Ask& ask) noexcept;
    // With the mutex.
    void end_locked(const std::string& why);
    void go_to(Stage stage);
    [[nodiscard]] bool holds() const noexcept;
    void advance();
    void map_next();
    void take(const Said& said);
    void take_reply(const Said& said);
    void complete(Ask& ask, Ask::State state);
    void move_memory(const Said& said);
    void say(const std::string& text);
    void say_late(const RegionAccess& access, bool write);
    [[nodiscard]] std::string describe(const RegionAccess& access, bool write) const;
    void tick();
    void keep_ticking();
    void send(int descriptor = -1);
    void flush();
    [[nodiscard]] bool receive();
    void arm() noexcept;

    /// What may wait for a device that does not read. Above it nothing more is read of the device.
    static constexpr std::size_t most_unsent = 256 << 10;

    const std::chrono::milliseconds timeout_;
    const std::shared_ptr<const PollSet> set_;
    const std::shared_ptr<Event> changed_;
    mutable std::mutex mutex_;
    const UniqueFd socket_;  ///< open until the link goes: a vCPU may be waiting for it
    Session session_;
    Stage stage_ = Stage::greeting;
    std::string why_;
    Machinery machinery_;
    bool reset_first_ = false;
    std::size_t mapped_ = 0;     ///< regions of memory that the device has been told of
    std::uint16_t control_ = 0;  ///< the id of the last VERSION, DMA_MAP or DEVICE_RESET
    unsigned control_age_ = 0;   ///< ticks
    std::vector<Ask*> asks_;
    Bytes out_;  ///< what the socket has not taken yet, from sent_ on
    std::size_t sent_ = 0;
    bool drained_ = false;      ///< in a turn
    bool broken_pipe_ = false;  ///< nothing can be sent any more
    bool read_in_place_ = false;
    std::uint32_t armed_ = EPOLLIN;  ///< what the set watches the socket for
    bool ticking_ = false;
    bool idle_ = false;
    std::atomic<bool> posts_ = false;
    LogLimit limit_;
    std::uint64_t late_ = 0;
};

}  // namespace asyncvm::remote
