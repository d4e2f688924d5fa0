/// Finding a back end: at the start, and after the one before has gone.
#include <asyncvm/error.hpp>
#include <asyncvm/sleep.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "vhost/device.hpp"
#include "vhost/handshake.hpp"

namespace asyncvm {

namespace vhost {

using namespace std::chrono_literals;

awaitable<void> VhostUserDevice::connect_again() {
    for (Ring& ring : rings_) ring.served = false;
    knows_memory_ = knows_inflight_ = false;
    told_features_.reset();
    log(fmt::format("is gone: {} (the guest waits until there is one again)", channel_->why()));
    tell_driver();
    changed_->notify();
    constexpr std::chrono::milliseconds longest = 3s;
    std::string told;
    for (std::chrono::milliseconds pause = environment_.pause;; pause = std::min(2 * pause, longest)) {
        co_await sleep_for(pause);
        Reached reached;
        auto problem = co_await reach(context_->loop, kind_, environment_.reply_limit, changed_, reached);
        if (problem.empty()) problem = lacks(reached.back_end, back_end_, kind_, negotiated());
        if (problem.empty()) {
            channel_ = std::move(reached.channel);
            back_end_ = std::move(reached.back_end);
            break;
        }
        if (reached.channel) reached.channel->close(problem);
        // That nobody listens has been said.
        if (reached.listens && std::exchange(told, problem) != problem) log(fmt::format("can't be used: {}", problem));
    }
    log("is there again");
    tell_driver();
}

/// The driver hears of a configuration space that is another now.
void VhostUserDevice::tell_driver() {
    auto now = config();
    if (now == told_config_) return;
    told_config_ = std::move(now);
    config_changed();
}

}  // namespace vhost

std::shared_ptr<virtio::Device> connect_vhost_user(const VhostUserSpec& spec, VhostUserEnvironment environment) {
    using namespace std::chrono_literals;
    vhost::Kind kind(spec);
    const auto changed = std::make_shared<Event>();
    asio::io_context loop(1);
    const auto until = std::chrono::steady_clock::now() + environment.start_limit;
    for (;;) {
        vhost::Reached reached;
        std::string problem;
        std::exception_ptr failure;
        asio::co_spawn(loop, vhost::reach(loop, kind, environment.reply_limit, changed, reached),
                       [&](std::exception_ptr error, std::string why) {
                           failure = std::move(error);
                           problem = std::move(why);
                           loop.stop();  // the channel reads on
                       });
        loop.restart();
        loop.run();
        if (failure) std::rethrow_exception(failure);
        if (problem.empty()) {
            return std::make_shared<vhost::VhostUserDevice>(std::move(kind), std::move(environment),
                                                            std::move(reached.back_end), reached.channel->release());
        }
        if (reached.listens || std::chrono::steady_clock::now() >= until) {
            throw Error(ErrorKind::host, fmt::format("cannot use the vhost-user back end at {}: {}{}", spec.path, problem,
                                                     reached.listens ? "" : " (start it first, as this program's user)"));
        }
        // The program that starts both need not wait between them.
        std::this_thread::sleep_for(20ms);
    }
}

}  // namespace asyncvm
