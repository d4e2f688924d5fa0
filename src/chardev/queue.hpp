/// The two byte queues of a chardev, between a device on any thread and the device loop.
#pragma once

#include <asyncvm/chardev.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/observer.hpp>
#include <chardev/output_log.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm {

/// A mutex around an OutputLog and a ring of input, and the news in both directions. The loop is woken once for each burst:
/// only when a reader found nothing and said so (to wake another thread costs the writer more than a guest's exit), never
/// for each byte, and not at all where no reader waits.
class Queue {
public:
    static constexpr std::size_t input_capacity = 64 << 10;
    /// What may lie behind that, of clients that have gone.
    static constexpr std::size_t leftover_capacity = 1 << 20;
    using Reader = OutputLog::Reader;

    explicit Queue(OutputLog::Options options) : log_(options) {}
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    /// `event` is notified when writable(), readable(), connected() or terminal_size() changes. Any thread.
    void add_listener(Event& event);
    void remove_listener(Event& event);

    /// `observer` hears what moves, and when the queue is full; `label` is the chardev's. Before any other thread has the
    /// queue.
    void observe(std::shared_ptr<Observer> observer, std::string label) {
        observer_ = std::move(observer);
        label_ = std::move(label);
    }

    // The device's side: any thread.
    std::size_t write_some(std::span<const std::byte> data) noexcept;
    std::size_t read_some(std::span<std::byte> data) noexcept;
    bool take_break() noexcept;
    [[nodiscard]] bool writable() const noexcept { return writable_.load(std::memory_order_acquire); }
    [[nodiscard]] std::uint64_t room() const noexcept;
    [[nodiscard]] bool readable() const noexcept { return readable_.load(std::memory_order_acquire); }
    [[nodiscard]] bool connected() const noexcept { return connected_.load(std::memory_order_acquire); }
    [[nodiscard]] TerminalSize terminal_size() const noexcept { return terminal_size_.load(std::memory_order_acquire); }

    // The loop's side.

    /// Notified after arm(), when there is something; when the queue becomes full; and by whoever wants that reader's
    /// attention.
    [[nodiscard]] Event& output(Reader reader) noexcept { return reader == Reader::client ? client_output_ : copy_output_; }
    /// Notified after an input_room() that found none, when there is a fair amount.
    [[nodiscard]] Event& input() noexcept { return input_; }

    void next(Reader reader, std::size_t limit, OutputLog::Batch& batch);
    /// Asks to be notified of the next byte. Returns false, and asks for nothing, if there is one already.
    [[nodiscard]] bool arm(Reader reader);
    [[nodiscard]] std::uint64_t position(Reader reader) const;
    void take(Reader reader, std::uint64_t position);
    void deliver(std::uint64_t position);
    [[nodiscard]] std::uint64_t rewind();
    void abandon_client();
    void undeliver(std::uint64_t count);
    /// The other end is another one: OutputLog::reconfigure(). Whoever waits for something here looks again.
    void reconfigure(OutputLog::Options options);
    /// Whoever waits for something here looks again.
    void wake();
    /// The device has another queue from now on, which lives as long as this one: output that nobody has taken is behind
    /// what is there, and what is still written here goes there, too, until reconfigure().
    void move_output_to(Queue& next);
    /// In the same way. Nothing more is pushed here.
    void move_input_to(Queue& next);
    /// Of all output that was accepted, in bytes.
    [[nodiscard]] std::uint64_t end() const;
    /// Bytes of input that read_some() has given.
    [[nodiscard]] std::uint64_t input_taken() const;
    /// How often input has come: not how much, and not what a source gives that has always more.
    [[nodiscard]] std::uint64_t heard() const;
    [[nodiscard]] std::uint64_t delivered() const;
    [[nodiscard]] std::uint64_t undelivered(Reader reader) const;
    [[nodiscard]] std::uint64_t lost() const;
    [[nodiscard]] std::size_t memory() const;

    /// Where input comes from that is not read ahead: read_some() asks `source` for just what it is to give, on the thread
    /// of the device. `source` returns bytes, 0 at the end of the input, or -errno; -EAGAIN: nothing yet. It must not block.
    using Source = std::function<long(std::span<std::byte>)>;
    void set_source(Source source);
    /// From now on there is no source, and none is in use.
    void remove_source();
    enum class SourceState : std::uint8_t {
        none,   ///< there is none, or it has ended
        ready,  ///< it may have something
        empty,  ///< it had nothing: input() has been notified, and source_refilled() is waited for
    };
    [[nodiscard]] SourceState source_state() const;
    void source_refilled();

    /// How much input there is room for; none while there are leftovers.
    [[nodiscard]] std::size_t input_room();
    /// At most input_room() bytes.
    void push_input(std::span<const std::byte> data);
    /// Input of a client that goes, behind all other: takes also what there is no room for, up to leftover_capacity bytes.
    /// Returns how much was taken.
    std::size_t push_leftover(std::span<const std::byte> data);
    /// A BREAK behind the input that is here. Without effect if too many wait already.
    void push_break();
    void set_connected(bool connected);
    void set_terminal_size(TerminalSize size);

    /// From now on output vanishes and no input comes, so that no device waits for ever.
    void close();

private:
    void changed();
    /// Under mutex_. Returns whether it has changed. The observer has heard of it.
    bool refresh_writable();
    // Under mutex_.
    std::size_t fill_ring(std::span<const std::byte> data);
    void fill_ring_from_leftover();
    std::size_t read_source(std::span<std::byte> data);
    void update_readable();

    std::shared_ptr<Observer> observer_;
    std::string label_;
    mutable std::mutex mutex_;
    OutputLog log_;
    std::vector<std::byte> ring_;  ///< made at the first input
    std::size_t input_first_ = 0;
    std::size_t input_size_ = 0;
    std::vector<std::byte> leftover_;  ///< behind a full ring
    std::size_t leftover_first_ = 0;
    std::deque<std::uint64_t> breaks_;  ///< the number of the byte before which each of them came
    bool knows_breaks_ = false;         ///< the device has asked for one
    Source source_;
    SourceState source_state_ = SourceState::none;
    std::uint64_t input_taken_ = 0;
    std::uint64_t heard_ = 0;
    bool client_waits_ = false;
    bool copy_waits_ = false;
    bool input_waits_ = false;
    bool closed_ = false;
    Queue* next_ = nullptr;  ///< where the device's bytes belong
    std::atomic<bool> writable_ = true;
    std::atomic<bool> readable_ = false;
    std::atomic<bool> connected_ = false;
    std::atomic<TerminalSize> terminal_size_{};

    Event client_output_;
    Event copy_output_;
    Event input_;

    std::mutex listeners_mutex_;
    std::vector<Event*> listeners_;
};

}  // namespace asyncvm
