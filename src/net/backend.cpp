#include "net/packets.hpp"
#include "net/passt.hpp"
#include "net/stream.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/net.hpp>

#include <asio/error.hpp>
#include <system_error>
#include <utility>

namespace asyncvm {

namespace {

std::shared_ptr<NetBackend> open_stream(const NetSpec& spec, NetEnvironment environment) {
    auto backend = std::make_shared<StreamBackend>(spec, std::move(environment));
    backend->start();
    return backend;
}

std::shared_ptr<NetBackend> open_kind(const NetSpec& spec, NetEnvironment environment) {
    switch (spec.kind) {
        case NetSpec::Kind::stream_unix:
        case NetSpec::Kind::stream_tcp:
            return open_stream(spec, std::move(environment));
        case NetSpec::Kind::dgram_unix:
            return open_datagrams(spec, std::move(environment));
        case NetSpec::Kind::tap:
            return open_tap(spec, std::move(environment));
        case NetSpec::Kind::vhost_user:
            throw Error(ErrorKind::usage, "a vhost-user card has no back end in this process");
        case NetSpec::Kind::user:
            break;
    }
    return open_passt(spec, std::move(environment));
}

}  // namespace

awaitable<void> NetBackend::receive() {
    for (;;) {
        const auto seen = changed_.generation();
        if (closed()) throw std::system_error(asio::error::operation_aborted);
        if (!front().empty()) co_return;
        co_await changed_.wait(seen);
    }
}

awaitable<void> NetBackend::room() {
    for (;;) {
        const auto seen = changed_.generation();
        if (closed()) throw std::system_error(asio::error::operation_aborted);
        if (has_room()) co_return;
        co_await changed_.wait(seen);
    }
}

std::shared_ptr<NetBackend> open_net(const NetSpec& spec, NetEnvironment environment) {
    // The back end's coroutines own it: what the caller gets is an owner that closes it.
    auto backend = open_kind(spec, std::move(environment));
    auto* const address = backend.get();
    return {address, [backend = std::move(backend)](NetBackend*) { backend->close(); }};
}

}  // namespace asyncvm
