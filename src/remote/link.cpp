#include "remote/link.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "text/errno_text.hpp"

namespace asyncvm::remote {

namespace {

using namespace std::chrono_literals;

/// What a reply may take is counted in ticks of the timer: a clock that stands is one that does not tick.
constexpr unsigned ticks = 8;
/// VERSION may take so many times the timeout.
constexpr unsigned greeting_patience = 10;
/// A device that says so much is not listened to until others on the loop have had their turn.
constexpr unsigned frames_a_turn = 128;
constexpr std::size_t bytes_a_turn = 256 << 10;
/// How long a vCPU's thread waits for the socket itself. A kick ends the wait, and what comes through the vCPU's io_context
/// has to wait so long at most.
constexpr auto in_place_limit = 500us;

}  // namespace

Ask::~Ask() {
    if (link_) link_->leave(*this);
}

Link::Link(UniqueFd socket, Offer offer, std::chrono::milliseconds timeout, std::shared_ptr<const PollSet> set,
           std::shared_ptr<Event> changed)
    : timeout_(timeout),
      set_(std::move(set)),
      changed_(std::move(changed)),
      socket_(std::move(socket)),
      session_(std::move(offer)) {
    set_->add(socket_.get(), EPOLLIN);
}

Link::~Link() { set_->remove(socket_.get()); }

Link::Stage Link::stage() const {
    const std::lock_guard lock(mutex_);
    return stage_;
}

std::string Link::why() const {
    const std::lock_guard lock(mutex_);
    return why_;
}

std::uint64_t Link::late() const {
    const std::lock_guard lock(mutex_);
    return late_;
}

// Stages.

void Link::go_to(Stage stage) {
    stage_ = stage;
    control_age_ = 0;
    posts_ = stage == Stage::online && (session_.agreement().capabilities & posted_writes) != 0;
    changed_->notify();
}

void Link::end(const std::string& why) {
    const std::lock_guard lock(mutex_);
    end_locked(why);
}

void Link::end_locked(const std::string& why) {
    if (stage_ == Stage::ended) return;
    why_ = why;
    for (Ask* const ask : std::exchange(asks_, {})) complete(*ask, Ask::State::lost);
    set_->remove(socket_.get());
    set_->set_timer(0ms, 0ms);
    (void)::shutdown(socket_.get(), SHUT_RDWR);
    go_to(Stage::ended);
}

void Link::greet() {
    const std::lock_guard lock(mutex_);
    control_ = session_.greet(out_);
    keep_ticking();
    send();
}

void Link::open(Machinery machinery, bool reset) {
    const std::lock_guard lock(mutex_);
    if (stage_ != Stage::agreed) return;
    machinery_ = std::move(machinery);
    reset_first_ = reset;
    go_to(Stage::mapping);
    map_next();
}

void Link::begin_reset() {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::mapping) reset_first_ = true;
    if (stage_ != Stage::online) return;
    go_to(Stage::resetting);
    control_ = session_.reset(out_);
    keep_ticking();
    send();
}

/// The reply to the last of VERSION, DMA_MAP and DEVICE_RESET has come.
void Link::advance() {
    if (stage_ == Stage::greeting) {
        go_to(Stage::agreed);
    } else if (stage_ == Stage::mapping) {
        control_age_ = 0;
        map_next();
    } else if (stage_ == Stage::resetting) {
        go_to(Stage::online);
    }
}

void Link::map_next() {
    // The descriptor goes with the frame's first byte.
    flush();
    if (!out_.empty()) {
        end_locked("it does not read what it is sent");
        return;
    }
    const auto& regions = machinery_.memory->regions();
    const bool maps = (session_.agreement().capabilities & memory_map) != 0;
    while (maps && mapped_ < regions.size()) {
        const auto& region = regions[mapped_++];
        if (region.fd < 0) continue;
        control_ = session_.map_memory(out_, region.offset, region.address, region.bytes.size());
        keep_ticking();
        send(region.fd);
        return;
    }
    if (!reset_first_) {
        go_to(Stage::online);
        return;
    }
    go_to(Stage::resetting);
    control_ = session_.reset(out_);
    keep_ticking();
    send();
}

// Accesses.

Link::Start Link::start(Ask& ask, bool& in_place) {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::ended) return Start::ended;
    if (stage_ != Stage::online) return Start::offline;
    if (!session_.may_ask()) return Start::no_room;
    in_place = in_place && !read_in_place_;
    if (in_place) {
        read_in_place_ = true;
        arm();
    }
    ask.link_ = shared_from_this();
    ask.state_ = Ask::State::waiting;
    ask.age_ = 0;
    asks_.push_back(&ask);
    ask.id_ = ask.write ? session_.write(out_, ask.access, ask.data, false) : session_.read(out_, ask.access);
    keep_ticking();
    send();
    return Start::begun;
}

Link::Start Link::post(const RegionAccess& access, std::span<const std::byte> data) {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::ended) return Start::ended;
    if (stage_ != Stage::online) return Start::offline;
    if (out_.size() - sent_ > most_unsent) return Start::no_room;
    (void)session_.write(out_, access, data, true);
    send();
    return Start::begun;
}

void Link::await_in_place(Ask& ask) {
    const auto until = std::chrono::steady_clock::now() + in_place_limit;
    for (bool done = false; !done;) {
        const auto rest = until - std::chrono::steady_clock::now();
        if (rest <= 0us) break;
        pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        const timespec limit{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(rest).count()};
        if (::ppoll(&ready, 1, &limit, nullptr) <= 0) break;
        const Turn turned = turn();
        {
            const std::lock_guard lock(mutex_);
            done = ask.state_ != Ask::State::waiting;
        }
        if (turned == Turn::held || turned == Turn::ended) break;
    }
    const std::lock_guard lock(mutex_);
    read_in_place_ = false;
    arm();
}

awaitable<Ask::State> Link::finish(Ask& ask) {
    std::shared_ptr<OneShot> done;
    {
        const std::lock_guard lock(mutex_);
        if (ask.state_ == Ask::State::waiting) done = ask.done_ = std::make_shared<OneShot>();
    }
    if (done) co_await done->wait();
    const std::lock_guard lock(mutex_);
    co_return ask.state_;
}

void Link::leave(Ask& ask) noexcept {
    const std::lock_guard lock(mutex_);
    if (ask.state_ != Ask::State::waiting) return;
    std::erase(asks_, &ask);
    session_.forget(ask.id_, false);
}

void Link::complete(Ask& ask, Ask::State state) {
    ask.state_ = state;
    if (ask.done_) ask.done_->complete();
}

// What comes.

bool Link::holds() const noexcept { return !machinery_.gate || !machinery_.gate->is_open(); }

Link::Turn Link::turn() {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::ended) return Turn::ended;
    if (set_->timer() != 0) tick();
    flush();
    drained_ = false;
    const bool had_room = session_.may_ask();
    std::size_t bytes = 0;
    Turn result = Turn::more;
    for (unsigned frame = 0; frame < frames_a_turn && bytes < bytes_a_turn && result == Turn::more; ++frame) {
        if (stage_ == Stage::ended) break;
        if (stage_ == Stage::agreed) {
            result = Turn::idle;
            break;
        }
        const Said said = out_.size() - sent_ > most_unsent ? Said{.kind = Said::Kind::held} : session_.next(holds(), out_);
        if (!session_.broken().empty()) {
            end_locked(session_.broken());
        } else if (said.kind == Said::Kind::nothing) {
            if (std::exchange(drained_, false) || !receive()) result = Turn::idle;
        } else if (said.kind == Said::Kind::held) {
            result = holds() ? Turn::held : Turn::idle;
        } else {
            take(said);
            bytes += said.data.size() + said.count;
        }
    }
    if (stage_ == Stage::ended) return Turn::ended;
    send();
    if (!had_room && session_.may_ask()) changed_->notify();
    return result;
}

void Link::take(const Said& said) {
    switch (said.kind) {
        case Said::Kind::reply:
            take_reply(said);
            break;
        case Said::Kind::interrupt:
            machinery_.interrupt(said.line, said.level != 0);
            Session::answer(out_, said);
            break;
        case Said::Kind::log:
            say(fmt::format("says{}: {}",
                            said.level == 0   ? " (error)"
                            : said.level == 1 ? " (warning)"
                                              : "",
                            harmless({reinterpret_cast<const char*>(said.data.data()), said.data.size()})));
            Session::answer(out_, said);
            break;
        default:
            move_memory(said);
            break;
    }
}

void Link::take_reply(const Said& said) {
    if (said.id == control_ && stage_ != Stage::online) {
        advance();
        return;
    }
    const auto found = std::ranges::find_if(asks_, [&said](const Ask* ask) { return ask->id_ == said.id; });
    if (found == asks_.end()) return;
    Ask& ask = **found;
    asks_.erase(found);
    if (said.error != 0) {
        say(fmt::format("refuses {}: {}", describe(ask.access, ask.write), reason(static_cast<int>(said.error))));
    } else if (!ask.write) {
        std::ranges::copy(said.data, ask.data.begin());
    }
    complete(ask, said.error != 0 ? Ask::State::refused : Ask::State::answered);
}

void Link::move_memory(const Said& said) {
    const auto place = machinery_.memory->try_at(said.address, said.count);
    if (place.empty()) {
        Session::refuse(out_, said, EFAULT);
    } else if (said.kind == Said::Kind::memory_read) {
        Session::answer(out_, said, place);
    } else {
        (void)machinery_.memory->write(said.address, said.data);
        Session::answer(out_, said);
    }
}

void Link::say(const std::string& text) {
    if (!machinery_.log) return;
    if (!limit_.take(LogLimit::Clock::now())) return;
    if (const auto left_out = limit_.left_out(); left_out != 0) {
        machinery_.log(fmt::format("has said {} more lines, which were left out", left_out));
    }
    machinery_.log(text);
}

// Time.

/// Something waits for a reply.
void Link::keep_ticking() {
    idle_ = false;
    if (std::exchange(ticking_, true)) return;
    const auto period = std::max<std::chrono::milliseconds>(timeout_ / ticks, 1ms);
    set_->set_timer(period, period);
}

void Link::tick() {
    const bool control = stage_ == Stage::greeting || stage_ == Stage::mapping || stage_ == Stage::resetting;
    if (asks_.empty() && !control) {
        // Not at once: one access often follows another.
        if (std::exchange(idle_, true)) {
            ticking_ = false;
            set_->set_timer(0ms, 0ms);
        }
        return;
    }
    // A program takes its time to start.
    const unsigned patience = stage_ == Stage::greeting ? greeting_patience : 1;
    if (control && ++control_age_ > patience * ticks) {
        const char* const what = stage_ == Stage::greeting  ? "VERSION"
                                 : stage_ == Stage::mapping ? "DMA_MAP"
                                                            : "DEVICE_RESET";
        end_locked(fmt::format("it has not answered {} for {} ms", what, patience * timeout_.count()));
        return;
    }
    if (holds()) return;
    for (Ask* const ask : std::vector(asks_)) {
        if (++ask->age_ <= ticks) continue;
        say_late(ask->access, ask->write);
        std::erase(asks_, ask);
        session_.forget(ask->id_, true);
        complete(*ask, Ask::State::late);
    }
}

void Link::give_up(const RegionAccess& access, bool write) {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::ended) return;
    say_late(access, write);
    session_.note_late();
    if (!session_.broken().empty()) end_locked(session_.broken());
}

/// Once a connection: a device that hangs does so at each access.
void Link::say_late(const RegionAccess& access, bool write) {
    if (late_++ != 0) return;
    say(fmt::format("has not answered {} for {} ms: {}", describe(access, write), timeout_.count(),
                    write ? "the write is dropped" : "the guest reads all-ones"));
}

std::string Link::describe(const RegionAccess& access, bool write) const {
    const Region& region = session_.offer().regions[access.region];
    return fmt::format("{} at {} {:#x}", name_of(write ? Command::region_write : Command::region_read),
                       region.memory ? "memory" : "port", region.address + access.offset);
}

}  // namespace asyncvm::remote
