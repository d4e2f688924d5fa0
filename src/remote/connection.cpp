// The life of a device's connections, on the device loop: the first one, its end, the next one.
#include <asyncvm/error.hpp>
#include <asyncvm/sleep.hpp>

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <utility>

#include "remote/device.hpp"

namespace asyncvm::remote {

namespace {

using namespace std::chrono_literals;

Offer offer_of(const RemoteSpec& spec, const std::vector<Region>& regions) {
    Offer offer;
    if (spec.memory >= RemoteSpec::Memory::read_only) offer.capabilities |= memory_read;
    if (spec.memory >= RemoteSpec::Memory::read_write) offer.capabilities |= memory_write;
    if (spec.memory == RemoteSpec::Memory::map) offer.capabilities |= memory_map;
    if (spec.posted) offer.capabilities |= posted_writes;
    offer.irqs = static_cast<std::uint16_t>(spec.irqs.size());
    offer.regions = regions;
    return offer;
}

}  // namespace

/// With or without a link from now on.
void Proxy::publish(std::shared_ptr<Link> link, bool over) {
    {
        const std::lock_guard lock(mutex_);
        if (!link) settled_ = true;
        over_ = over;
        link_ = std::move(link);
    }
    changed_->notify();
}

Machinery Proxy::machinery() {
    return {.memory = &context_->memory,
            .gate = context_->gate,
            .interrupt =
                [this](std::uint32_t line, bool level) {
                    const std::lock_guard lock(lines_mutex_);
                    lines_[line].set(level);
                },
            .log = [this](const std::string& text) { log(text); }};
}

void Proxy::lower_lines() {
    const std::lock_guard lock(lines_mutex_);
    for (IrqLine& line : lines_) line.set(false);
}

void Proxy::report_end(const Link& link) const {
    const char* effect = "there will be no other one: reads are all-ones from now on";
    if (spec_.reconnect) {
        effect = spec_.lost_waits ? "the guest's accesses wait until it is there again"
                                  : "the guest reads all-ones until it is there again";
    }
    const auto late = link.late();
    log(fmt::format("is gone: {}{} ({})", link.why(),
                    late > 1 ? fmt::format("; {} accesses got no answer in time", late) : std::string(), effect));
}

awaitable<void> Proxy::ready(asio::io_context& loop) {
    PollSet::Waiter waiter(loop, *set_);
    co_await meet(loop, waiter);
}

/// The first one.
awaitable<void> Proxy::meet(asio::io_context& loop, PollSet::Waiter& waiter) {
    constexpr auto pause = 20ms;
    place_.open();
    const bool listens = spec_.how == RemoteSpec::How::listen;
    if (listens) log("waits for a device to connect");
    const auto until = Clock::now() + spec_.timeout;
    for (;;) {
        bool reached = false;
        const auto problem = co_await try_to_meet(loop, waiter, reached);
        if (problem.empty()) co_return;
        if (listens) {
            log(fmt::format("has been turned away: {}", problem));
        } else if (reached || Clock::now() >= until) {
            throw Error(ErrorKind::host, fmt::format("cannot use the device at {}: {}{}", place_.where(), problem,
                                                     reached ? "" : " (start it first, as this program's user)"));
        }
        // Who starts both need not wait between them.
        co_await sleep_for(pause);
    }
}

/// After one has ended.
awaitable<void> Proxy::meet_again(PollSet::Waiter& waiter) {
    std::string told;
    for (;;) {
        co_await sleep_for(*spec_.reconnect);
        bool reached = false;
        std::string problem;
        try {
            problem = co_await try_to_meet(context_->loop, waiter, reached);
        } catch (const Error& error) {
            problem = error.what();
            reached = true;
        }
        if (problem.empty()) break;
        // That nobody listens has been said.
        if (reached && std::exchange(told, problem) != problem) log(fmt::format("can't be used: {}", problem));
    }
    log("is there again");
}

/// Returns an empty text and has published the link, or why there is none. `reached`: somebody was there.
awaitable<std::string> Proxy::try_to_meet(asio::io_context& loop, PollSet::Waiter& waiter, bool& reached) {
    UniqueFd socket;
    auto problem = co_await place_.connect(loop, waiter, socket);
    if (!problem.empty()) co_return problem;
    reached = true;
    const auto link = std::make_shared<Link>(std::move(socket), offer_of(spec_, regions_), spec_.timeout, set_, changed_);
    link->greet();
    while (link->stage() == Link::Stage::greeting) {
        const Link::Turn turned = link->turn();
        if (turned == Link::Turn::idle && link->stage() == Link::Stage::greeting) co_await waiter.wait();
    }
    if (link->stage() == Link::Stage::ended) {
        auto why = link->why();
        const auto end = co_await place_.end_program(waiter);
        if (!end.empty()) why += fmt::format(" ({})", end);
        co_return why;
    }
    name_after(spec_.name.empty() ? link->agreement().name : spec_.name);
    publish(link, false);
    co_return std::string();
}

awaitable<void> Proxy::run() {
    PollSet::Waiter waiter(context_->loop, *set_);
    std::exception_ptr failure;
    try {
        co_await live(waiter);
    } catch (...) {
        failure = std::current_exception();
    }
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (const auto last = link()) last->end("the machine has ended");
    publish(nullptr, true);
    static_cast<void>(co_await place_.end_program(waiter));
    if (failure && !cancelled) std::rethrow_exception(failure);
}

awaitable<void> Proxy::live(PollSet::Waiter& waiter) {
    if (!link()) co_await meet(context_->loop, waiter);
    for (bool first = true;; first = false) {
        const auto now = link();
        now->open(machinery(), !first);
        co_await serve(now, waiter);
        report_end(*now);
        publish(nullptr, !spec_.reconnect);
        // The interrupts of a paused machine stand still.
        co_await PauseGate::passed(context_->gate);
        lower_lines();
        static_cast<void>(co_await place_.end_program(waiter));
        if (!spec_.reconnect) co_return;
        co_await meet_again(waiter);
    }
}

/// Until the link has ended.
awaitable<void> Proxy::serve(std::shared_ptr<Link> link, PollSet::Waiter& waiter) {
    std::string program_end;
    for (;;) {
        const Link::Turn turned = link->turn();
        if (turned == Link::Turn::ended) co_return;
        if (turned == Link::Turn::more) {
            // Others on the loop have their turn.
            co_await asio::post(context_->loop, use_awaitable);
        } else if (turned == Link::Turn::held) {
            co_await PauseGate::passed(context_->gate);
        } else if (!program_end.empty()) {
            link->end(fmt::format("its program has ended: {}", program_end));
        } else {
            // What it has said before its end is read first.
            program_end = place_.program_end();
            if (program_end.empty()) co_await waiter.wait();
        }
    }
}

awaitable<void> Proxy::before_reset() {
    const auto now = link();
    if (!now || !context_) co_return;
    PollSet::Waiter waiter(context_->loop, *set_);
    now->begin_reset();
    lower_lines();
    for (;;) {
        const Link::Stage stage = now->stage();
        if (stage == Link::Stage::online || stage == Link::Stage::ended) co_return;
        const Link::Turn turned = now->turn();
        if (turned == Link::Turn::idle) {
            co_await waiter.wait();
        } else if (turned != Link::Turn::ended) {
            co_await asio::post(context_->loop, use_awaitable);
        }
    }
}

}  // namespace asyncvm::remote
