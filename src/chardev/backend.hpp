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

/// One other end. Its coroutines own it together with its handles (the Chardevs that devices hold); close() ends them, and
/// the last handle's close() closes it. Everything but queue() is the device loop's.
///
/// A loop that is destroyed closes its backends first, so that none outlives the loop's services with a descriptor open.
class Backend : public std::enable_shared_from_this<Backend> {
public:
    using Clock = std::chrono::steady_clock;
    using Deadline = std::optional<Clock::time_point>;

    /// `client`: whether anybody is to take the output. Throws Error(host) if the copy can't be opened.
    Backend(const ChardevSpec& spec, ChardevEnvironment environment, bool client = true);
    virtual ~Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    /// After the constructor, once: starts the coroutines.
    void start();

    [[nodiscard]] Queue& queue() noexcept { return queue_; }
    [[nodiscard]] bool closed() const noexcept { return closed_; }
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
    [[nodiscard]] virtual bool attended() { return queue_.connected(); }
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
    /// Closes descriptors. Once.
    virtual void shut() noexcept = 0;

    void spawn(awaitable<void> work);
    void log(std::string_view text) const;
    void set_connected(bool connected);
    /// Logs how much output the client will never get: at most once a second, unless `now`.
    void report_lost(bool now = false);

    [[nodiscard]] const ChardevSpec& spec() const noexcept { return spec_; }
    [[nodiscard]] const ChardevEnvironment& environment() const noexcept { return environment_; }
    /// Something on the loop's side has changed: a client came or went, all is sent, close().
    [[nodiscard]] Event& state() noexcept { return state_; }
    [[nodiscard]] bool draining() const noexcept { return draining_; }

    /// Lets the loop's other work run.
    [[nodiscard]] static awaitable<void> yield();
    /// For a coroutine that has found nothing more to send: returns when there may be something. While a burst lasts that is
    /// after its pause, without the writer's doing; then at the first byte. `burst` is the coroutine's own.
    [[nodiscard]] static awaitable<void> rest(std::shared_ptr<Backend> self, Queue::Reader reader, std::uint64_t seen,
                                              OutputBurst& burst);
    /// Writes `sink` as long as the backend is open; retries what fails.
    [[nodiscard]] static awaitable<void> feed(std::shared_ptr<Backend> self, FileSink& sink);

private:
    [[nodiscard]] std::string waiting_text();
    /// Whether all that is left to deliver can't be written.
    [[nodiscard]] bool stuck();

    ChardevSpec spec_;
    ChardevEnvironment environment_;
    Queue queue_;
    std::optional<FileSink> copy_;
    Event state_;
    unsigned handles_ = 0;
    bool was_connected_ = false;
    bool draining_ = false;
    bool closed_ = false;
    std::uint64_t lost_told_ = 0;
    Clock::time_point lost_told_at_{};
};

/// How long drain() goes on trying to write to a full disk, unless there is a `linger`.
inline constexpr std::chrono::seconds patience_with_files{2};

/// "1 byte waits", "13 bytes wait".
[[nodiscard]] std::string bytes_wait(std::uint64_t bytes);

}  // namespace asyncvm
