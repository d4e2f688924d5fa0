#include "record/player.hpp"

#include <asyncvm/device_context.hpp>
#include <asyncvm/error.hpp>

#include "record/replay.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

namespace asyncvm::record {

namespace {

constexpr auto never = MachineClock::time_point::max();

/// What a player does besides answering.
struct Manner {
    std::string path;                       ///< of the recording, for messages
    bool timing = false;                    ///< answers and interrupts come as late as they did
    std::function<void(Outcome)> finish{};  ///< for the first difference; empty: it is logged
};

class Player final : public Device {
public:
    Player(Recording recording, Manner manner) : manner_(std::move(manner)), replay_(std::move(recording)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return replay_.header().device; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return replay_.header().max_access_size; }

    void attached(const DeviceContext& context) override {
        clock_ = &context.clock;
        gate_ = context.gate;
        messages_ = context.interrupts;
        log_ = context.log;
        for (const auto& event : replay_.events()) {
            if (event.kind == Event::Kind::irq && !lines_.contains(event.number)) {
                lines_.emplace(event.number, context.irq ? context.irq(event.number) : IrqLine());
            }
            if (event.kind == Event::Kind::msi && messages_ != nullptr) messages_->expect_messages();
        }
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        Access copy = access;
        co_await answer(copy, true);
    }

    [[nodiscard]] awaitable<void> read(Access& access) override { return answer(access, false); }

    [[nodiscard]] awaitable<void> run() override {
        std::exception_ptr end;
        try {
            co_await raise_in_time();
        } catch (...) {
            end = std::current_exception();
        }
        tell_rest();
        if (end) std::rethrow_exception(end);
    }

    void reset() override {
        std::unique_lock lock(mutex_);
        for (auto& [number, line] : lines_) line.set(false);
        due_.clear();
        const auto step = replay_.reset();
        schedule(step, clock_->now());
        lock.unlock();
        tell(step);
    }

private:
    struct Due {
        MachineClock::time_point time;
        Event event;
    };

    awaitable<void> answer(Access& access, bool write) {
        const auto now = clock_->now();
        std::unique_lock lock(mutex_);
        begin(now);
        raise_until(never);  // they came before this access
        const auto step = replay_.access(access, write);
        schedule(step, now);
        lock.unlock();
        tell(step);
        if (!write) access.data = step.answer;
        if (manner_.timing && step.delay.count() > 0) co_await clock_->wait_until(now + step.delay);
    }

    /// What comes before the first access, and what is due.
    awaitable<void> raise_in_time() {
        for (;;) {
            co_await PauseGate::passed(gate_);
            const auto seen = changed_.generation();
            const auto next = raise_due();
            if (next == never) {
                co_await changed_.wait(seen);
            } else {
                co_await clock_->wait(changed_, seen, next);
            }
        }
    }

    MachineClock::time_point raise_due() {
        const auto now = clock_->now();
        const std::lock_guard lock(mutex_);
        begin(now);
        return raise_until(now);
    }

    void begin(MachineClock::time_point now) {
        if (!std::exchange(begun_, true)) schedule(replay_.start(), now);
    }

    void schedule(const Replay::Step& step, MachineClock::time_point since) {
        for (const auto& [after, event] : step.interrupts) due_.push_back({since + after, event});
        if (!manner_.timing) raise_until(never);
        if (!due_.empty()) changed_.notify();
    }

    /// Returns when the next one is due.
    MachineClock::time_point raise_until(MachineClock::time_point time) {
        for (; !due_.empty(); due_.pop_front()) {
            const auto& [when, event] = due_.front();
            if (when > time) return when;
            if (event.kind == Event::Kind::irq) {
                lines_.at(event.number).set(event.level);
            } else if (messages_ != nullptr) {
                messages_->signal({.address = event.address, .data = static_cast<std::uint32_t>(event.value)});
            }
        }
        return never;
    }

    /// Once: what follows from the first difference would only hide it.
    void tell(const Replay::Step& step) {
        if (!step.difference || told_.exchange(true)) return;
        const auto& [line, expected, found, then] = *step.difference;
        const auto what = fmt::format("the guest differs from the recording at {}:{}: expected '{}', found '{}'",
                                      manner_.path, line, expected, found);
        if (!manner_.finish) {
            log_(fmt::format("{} ({}; further differences are not told)", what, then));
            return;
        }
        Outcome outcome;
        outcome.kind = Outcome::Kind::differed;
        outcome.summary = what;
        manner_.finish(std::move(outcome));
    }

    void tell_rest() {
        const std::lock_guard lock(mutex_);
        const Event* const next = replay_.next();
        if (next == nullptr || told_.exchange(true)) return;
        log_(fmt::format("the guest ended before the recording did: {}:{} has '{}'", manner_.path, next->line,
                         describe(*next)));
    }

    const Manner manner_;
    std::mutex mutex_;  ///< run() is on another thread than the accesses
    Replay replay_;
    bool begun_ = false;
    std::deque<Due> due_;  ///< in order
    std::map<unsigned, IrqLine> lines_;
    std::atomic<bool> told_ = false;
    MachineClock* clock_ = nullptr;
    std::shared_ptr<PauseGate> gate_;
    InterruptController* messages_ = nullptr;
    Log log_;
    asyncvm::Event changed_;  ///< what raise_in_time() waits for
};

constexpr std::array<std::string_view, 2> off_or_on{"off", "on"};

std::shared_ptr<Device> make_player(const DeviceOptions& options, const DeviceHost& host) {
    const auto file = options.text("file").value_or("");
    if (file.empty()) throw Error(ErrorKind::usage, "device replay: it needs a recording (--device replay=FILE)");
    Manner manner{.path = std::string(file), .timing = options.choice("timing", off_or_on) == 1};
    if (options.choice("strict", off_or_on) == 1) manner.finish = host.finish;
    auto recording = load(manner.path);
    const auto places = recording.header.places;
    auto player = std::make_shared<Player>(std::move(recording), std::move(manner));
    for (const auto& [space, range] : places) (space == Space::port ? host.ports : host.mmio).attach(range, player);
    return player;
}

constexpr std::array replay_keys{
    DeviceKey{"file", "FILE", "the recording; replay=FILE is short for replay,file=FILE"},
    DeviceKey{"timing", "on", "answers and interrupts come as late as they did, not at once"},
    DeviceKey{"strict", "on", "a guest that does something else ends the machine; it is told once without"},
};

}  // namespace

constinit const DeviceKind replay_kind{
    .name = "replay",
    .help = "answers as a recorded device did",
    .keys = replay_keys,
    .movable = false,
    .make = make_player,
};

}  // namespace asyncvm::record
