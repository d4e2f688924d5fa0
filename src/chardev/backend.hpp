/// What all chardevs share: the queue, the copy to a file, draining, closing.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/open_chardev.hpp>
#include <chardev/file_sink.hpp>
#include <chardev/output_burst.hpp>
#include <chardev/queue.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace asyncvm {

class Backend;

/// What a backend takes over when it gets another one's place. Empty: it is the first.
struct Succession {
    std::shared_ptr<Queue> queue;
    std::shared_ptr<Backend> before;
};

/// One other end. Its coroutines own it together with its handles (the Chardevs that devices hold); close() ends them, and
/// the last handle's close() closes it. Everything but queue() is the device loop's.
///
/// A loop that is destroyed closes its backends first, so that none outlives the loop's services with a descriptor open.
///
/// Where a chardev changes its place, the next backend is made while this one works, and has made sure of what it needs
/// (prepare()); it inherits what both use, this one retires, and the next one starts, on the same queue.
class Backend : public std::enable_shared_from_this<Backend> {
public:
    using Clock = std::chrono::steady_clock;
    using Deadline = std::optional<Clock::time_point>;

    /// Leaves the queue of `from` alone until start(). Throws Error(host) if the copy can't be opened.
    Backend(const ChardevSpec& spec, ChardevEnvironment environment, Succession from = {});
    virtual ~Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    /// Before start(): completes when the place can be used. Throws Error(host).
    [[nodiscard]] virtual awaitable<void> prepare();
    /// Before start(): takes what the backend before and this one both use.
    virtual void inherit();
    /// Once: starts the coroutines.
    void start();
    /// Instead of close(), where another backend gets the queue: completes when whoever is at this end has got what it
    /// takes, and the end is closed. Takes nothing from the queue after that.
    [[nodiscard]] awaitable<void> retire();

    [[nodiscard]] Queue& queue() noexcept { return *queue_; }
    [[nodiscard]] const std::shared_ptr<Queue>& shared_queue() const noexcept { return queue_; }
    [[nodiscard]] bool closed() const noexcept { return closed_; }
    [[nodiscard]] const ChardevSpec& spec() const noexcept { return spec_; }
    /// retire() has completed.
    [[nodiscard]] bool retired() const noexcept { return retiring_ && closed_; }
    /// How many handles there are.
    [[nodiscard]] unsigned handles() const noexcept { return handles_; }
    [[nodiscard]] asio::io_context& loop() const noexcept { return environment_.loop; }
    [[nodiscard]] virtual std::string description() const = 0;

    [[nodiscard]] awaitable<void> ready();
    [[nodiscard]] awaitable<std::uint64_t> drain();
    [[nodiscard]] std::uint64_t undelivered();
    void close() noexcept;

    /// One handle more, one less.
    void acquire() noexcept { ++handles_; }
    void release() noexcept;
    /// The last `count` bytes of input have not been seen by the guest, which has ended. Any thread.
    virtual void give_back(std::size_t count) noexcept { static_cast<void>(count); }
    /// The handle that reads is closed.
    virtual void stop_input() noexcept {}

protected:
    virtual void run() = 0;
    /// Gives the kernel all that it takes at once, and looks how much has arrived.
    virtual void push() = 0;
    /// Whether a client is there, also one that gets no output yet.
    [[nodiscard]] virtual bool attended() { return queue_->connected(); }
    /// Bytes that have left the queue and that nobody has got yet.
    [[nodiscard]] virtual std::uint64_t in_kernel() { return 0; }
    /// Bytes that nobody will ever get, though no option allows that.
    [[nodiscard]] virtual std::uint64_t undeliverable() { return 0; }
    /// The guest has ended: nobody takes input from now on.
    virtual void guest_ended() {}
    /// Everything has been delivered, or may no longer be waited for: ends the connection, if there is one, so that its peer
    /// loses nothing. Takes until `deadline` at most.
    [[nodiscard]] virtual awaitable<void> finish(Deadline deadline);
    /// Whether the output can't be written, and no reader could mend that: a full disk, not a slow client.
    [[nodiscard]] virtual bool failing() { return false; }
    /// What drain() says while it waits: "13 bytes wait for ...".
    [[nodiscard]] virtual std::string waiting(std::uint64_t bytes) const = 0;
    /// Ends what there is with a client, in time; retire().
    [[nodiscard]] virtual awaitable<void> leave();
    /// Closes descriptors. Once.
    virtual void shut() noexcept = 0;

    void spawn(awaitable<void> work);
    void log(std::string_view text) const;
    void set_connected(bool connected);
    /// Logs how much output the client will never get: at most once a second, unless `now`.
    void report_lost(bool now = false);

    /// Null: it is the first.
    [[nodiscard]] const std::shared_ptr<Backend>& before() const noexcept { return from_.before; }
    [[nodiscard]] const ChardevEnvironment& environment() const noexcept { return environment_; }
    /// Something on the loop's side has changed: a client came or went, all is sent, close().
    [[nodiscard]] Event& state() noexcept { return state_; }
    [[nodiscard]] bool draining() const noexcept { return draining_; }
    /// retire() or close() has begun: no new client is taken.
    [[nodiscard]] bool ending() const noexcept { return retiring_ || closed_; }

    /// Lets the loop's other work run.
    [[nodiscard]] static awaitable<void> yield();
    /// For a coroutine that has found nothing more to send: returns when there may be something. While a burst lasts that is
    /// after its pause, without the writer's doing; then at the first byte. `burst` is the coroutine's own.
    [[nodiscard]] static awaitable<void> rest(std::shared_ptr<Backend> self, Queue::Reader reader, std::uint64_t seen,
                                              OutputBurst& burst);
    /// Writes `sink` as long as the backend is open; retries what fails.
    [[nodiscard]] static awaitable<void> feed(std::shared_ptr<Backend> self, FileSink& sink);
    /// The same, and keeps it.
    [[nodiscard]] static awaitable<void> feed_copy(std::shared_ptr<Backend> self, std::shared_ptr<FileSink> sink);

private:
    [[nodiscard]] std::string waiting_text();
    /// Whether all that is left to deliver can't be written.
    [[nodiscard]] bool stuck();
    /// Closes everything but the queue.
    void end() noexcept;

    ChardevSpec spec_;
    ChardevEnvironment environment_;
    Succession from_;
    std::shared_ptr<Queue> queue_;
    std::shared_ptr<FileSink> copy_;
    Event state_;
    unsigned handles_ = 0;
    bool was_connected_ = false;
    bool draining_ = false;
    bool retiring_ = false;
    bool copy_goes_on_ = false;  ///< with the next backend
    bool closed_ = false;
    std::uint64_t lost_told_ = 0;
    Clock::time_point lost_told_at_{};
};

/// Makes what `spec` describes: ready to start(), or at work already where several handles share it. Throws Error.
[[nodiscard]] std::shared_ptr<Backend> make_backend(const ChardevSpec& spec, const ChardevEnvironment& environment,
                                                    const Succession& from = {});

/// How long a client that takes nothing holds up a chardev that changes its place.
inline constexpr std::chrono::seconds patience_with_clients{2};

/// How long drain() goes on trying to write to a full disk, unless there is a `linger`.
inline constexpr std::chrono::seconds patience_with_files{2};

/// Whether somebody comes to such a place. Otherwise somebody is always there.
[[nodiscard]] bool has_clients(ChardevSpec::Kind kind) noexcept;

/// "1 byte waits", "13 bytes wait".
[[nodiscard]] std::string bytes_wait(std::uint64_t bytes);

}  // namespace asyncvm
