#include "trace/recording.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <system_error>
#include <utility>

#include "async/signals_blocked.hpp"
#include "text/errno_text.hpp"

namespace asyncvm::trace {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t other_capacity = 8192;
std::atomic<std::uint64_t> next_id = 1;

std::size_t capacity_of_a_cpu(unsigned cpus) {
    return std::clamp<std::size_t>(Recording::memory / sizeof(Record) / std::max(cpus, 1U), 2048, 32768);
}

}  // namespace

thread_local Recording::Here Recording::here_;

std::uint64_t now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

Recording::Recording(std::unique_ptr<Consumer> consumer, unsigned cpus, std::function<void()> prepare)
    : id_(next_id.fetch_add(1)),
      consumer_(std::move(consumer)),
      prepare_(std::move(prepare)),
      shared_(other_capacity, no_cpu) {
    for (unsigned cpu = 0; cpu < cpus; ++cpu) cpus_.push_back(std::make_unique<Lane>(capacity_of_a_cpu(cpus), cpu));
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] { work(); });
    } catch (const std::system_error& error) {
        throw Error(ErrorKind::host, fmt::format("cannot start the thread that writes the trace: {} (raise the limit that "
                                                 "`ulimit -u` or `ulimit -v` shows)",
                                                 reason(error.code().value())));
    }
}

Recording::~Recording() { finish(); }

bool Recording::push(const Record& record) noexcept {
    Lane* lane = here_.lane;
    if (here_.recording != id_) [[unlikely]] {
        lane = lane_of_this_thread();
        here_ = {id_, lane};
    }
    if (lane == &shared_) [[unlikely]] {
        const std::lock_guard lock(shared_.shared);
        return push(shared_, record);
    }
    return push(*lane, record);
}

Recording::Lane* Recording::lane_of_this_thread() noexcept {
    const std::lock_guard lock(mutex_);
    const auto self = std::this_thread::get_id();
    const auto found = std::ranges::find(others_, self, &Lane::thread);
    if (found != others_.end()) return found->get();
    if (others_.size() >= most_other_threads) return &shared_;
    try {
        others_.push_back(std::make_unique<Lane>(other_capacity, no_cpu));
        others_.back()->thread = self;
        return others_.back().get();
    } catch (...) {
        return &shared_;
    }
}

void Recording::hurry() noexcept {
    {
        const std::lock_guard lock(mutex_);
        hurry_ = true;
    }
    wake_.notify_one();
}

std::vector<Recording::Lane*> Recording::lanes() {
    if (known_.empty()) {
        for (const auto& lane : cpus_) known_.push_back(lane.get());
        known_.push_back(&shared_);
        for (const Lane* const lane : known_) consumer_->add_source(lane->cpu);
    }
    const std::lock_guard lock(mutex_);
    for (auto i = known_.size() - cpus_.size() - 1; i < others_.size(); ++i) {
        known_.push_back(others_[i].get());
        consumer_->add_source(no_cpu);
    }
    return known_;
}

/// Those from before `before`: of a pair whose first record was pushed before the second one, on another thread, both are
/// there. Returns whether there were any.
bool Recording::take_all(std::uint64_t before) {
    struct Head {
        unsigned source;
        RecordRing* ring;
        std::array<std::span<const Record>, 2> pieces;
        [[nodiscard]] std::uint64_t time() const noexcept {
            return pieces[0].empty() ? std::numeric_limits<std::uint64_t>::max() : pieces[0].front().time;
        }
    };
    std::vector<Head> heads;
    const auto all = lanes();
    for (unsigned source = 0; source < all.size(); ++source) {
        auto& ring = all[source]->ring;
        const auto pieces = ring.peek();
        if (!pieces[0].empty()) heads.push_back({source, &ring, pieces});
    }
    bool any = false;
    while (!heads.empty()) {
        const auto first = std::ranges::min_element(heads, {}, &Head::time);
        if (first->time() >= before) break;
        // As many as are older than all other sources' next.
        auto limit = before - 1;
        for (const Head& head : heads) {
            if (head.source != first->source) limit = std::min(limit, head.time());
        }
        auto& piece = first->pieces[0];
        const auto past = std::ranges::find_if(piece, [limit](const Record& record) { return record.time > limit; });
        const auto count = std::max<std::size_t>(static_cast<std::size_t>(past - piece.begin()), 1);
        consumer_->take(first->source, piece.first(count));
        first->ring->release(count);
        any = true;
        piece = piece.subspan(count);
        if (piece.empty()) std::swap(piece, first->pieces[1]);
        if (piece.empty()) heads.erase(first);
    }
    return any;
}

void Recording::work() {
    pthread_setname_np(pthread_self(), "trace");
    constexpr auto pause = 50ms;
    constexpr auto idle_pause = 200ms;
    bool any = true;
    for (bool ending = false; !ending;) {
        {
            std::unique_lock lock(mutex_);
            wake_.wait_for(lock, any ? pause : idle_pause, [this] { return hurry_ || ending_; });
            hurry_ = false;
            ending = ending_;
        }
        if (prepare_) prepare_();
        any = take_all(ending ? std::numeric_limits<std::uint64_t>::max() : now());
        if (any) consumer_->flush();
    }
    tell_lost_at_end();
    consumer_->finish(dropped());
}

/// What had no room, of sources that have pushed nothing since.
void Recording::tell_lost_at_end() {
    for (unsigned source = 0; source < known_.size(); ++source) {
        Record lost;
        lost.time = now();
        lost.value = known_[source]->ring.untold();
        if (lost.value != 0) consumer_->take(source, std::span(&lost, 1));
    }
}

void Recording::finish() noexcept {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

std::uint64_t Recording::dropped() const noexcept {
    std::uint64_t sum = shared_.ring.dropped();
    for (const auto& lane : cpus_) sum += lane->ring.dropped();
    const std::lock_guard lock(mutex_);
    for (const auto& lane : others_) sum += lane->ring.dropped();
    return sum;
}

}  // namespace asyncvm::trace
