#include "vhost/handshake.hpp"

#include <asyncvm/virtio_chain.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "socket/dialer.hpp"

namespace asyncvm::vhost {

namespace {

/// For a message with a number as its answer.
awaitable<std::string> ask_number(std::shared_ptr<Channel> channel, Request request, std::uint64_t& number) {
    Reply reply;
    auto problem = co_await channel->exchange(plain(request), reply);
    if (problem.empty()) number = number_in(reply.answer);
    co_return problem;
}

awaitable<std::string> read_config(std::shared_ptr<Channel> channel, const Kind& kind, BackEnd& back_end) {
    const auto sizes = kind.config_sizes();
    if (sizes.empty()) co_return std::string();
    if ((back_end.protocol & protocol_config) == 0) co_return "it does not tell its configuration (no CONFIG)";
    for (const std::uint32_t size : sizes) {
        Reply reply;
        auto problem = co_await channel->exchange(get_config(size), reply);
        if (!problem.empty()) co_return problem;
        if (auto config = config_in(reply.answer)) {
            back_end.config = std::move(*config);
            co_return std::string();
        }
    }
    co_return fmt::format("it is no {}: it has no such configuration", kind.name());
}

awaitable<std::string> ask_all(std::shared_ptr<Channel> channel, const Kind& kind, BackEnd& back_end) {
    Reply reply;
    auto problem = co_await channel->exchange(plain(Request::set_owner), reply);
    if (!problem.empty()) co_return problem;
    problem = co_await ask_number(channel, Request::get_features, back_end.features);
    if (!problem.empty()) co_return problem;
    if ((back_end.features & virtio::feature_version_1) == 0) co_return "it does not offer VIRTIO_F_VERSION_1";
    if ((back_end.features & has_protocol_features) != 0) {
        problem = co_await ask_number(channel, Request::get_protocol_features, back_end.protocol);
        if (!problem.empty()) co_return problem;
        back_end.protocol &= known_protocol_features;
        problem = co_await channel->exchange(with_number(Request::set_protocol_features, back_end.protocol), reply);
        if (!problem.empty()) co_return problem;
    }
    back_end.queues = kind.least_queues();
    if ((back_end.protocol & protocol_queue_count) != 0) {
        std::uint64_t queues = 0;
        problem = co_await ask_number(channel, Request::get_queue_num, queues);
        if (!problem.empty()) co_return problem;
        if (queues < kind.least_queues()) co_return fmt::format("it serves {} queues, too few", queues);
        back_end.queues = static_cast<unsigned>(std::min<std::uint64_t>(queues, most_vhost_user_queues));
    }
    problem = co_await read_config(channel, kind, back_end);
    co_return problem;
}

}  // namespace

awaitable<std::string> reach(asio::io_context& loop, const Kind& kind, std::chrono::milliseconds limit,
                             std::shared_ptr<Event> changed, Reached& reached) {
    Dialer dialer(loop, kind.spec().path);
    UniqueFd socket;
    auto problem = co_await dialer.dial(socket);
    if (!problem.empty()) co_return problem;
    reached.listens = true;
    reached.channel = std::make_shared<Channel>(loop, std::move(socket), limit, std::move(changed));
    reached.channel->start();
    problem = co_await ask_all(reached.channel, kind, reached.back_end);
    if (!problem.empty()) reached.channel->close(problem);
    co_return problem;
}

std::string lacks(const BackEnd& now, const BackEnd& before, const Kind& kind, std::uint64_t accepted) {
    const std::uint64_t needed = (accepted & ~kind.own_features()) | (before.features & has_protocol_features);
    if (const std::uint64_t missing = needed & ~now.features; missing != 0) {
        return fmt::format("it lacks features that the guest uses ({:#x})", missing);
    }
    if (kind.queues(now).size() < kind.queues(before).size()) return "it has fewer queues than the one before";
    if (now.config.size() != before.config.size()) return "it has another configuration than the one before";
    return {};
}

}  // namespace asyncvm::vhost
