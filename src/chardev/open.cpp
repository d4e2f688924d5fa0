#include <asyncvm/error.hpp>
#include <chardev/chardev_handle.hpp>
#include <chardev/connector.hpp>
#include <chardev/listener.hpp>
#include <chardev/open.hpp>
#include <chardev/pty.hpp>
#include <chardev/simple.hpp>
#include <chardev/stdio.hpp>

#include <utility>

namespace asyncvm {
namespace {

template <typename Kind>
std::shared_ptr<Backend> start(const ChardevSpec& spec, ChardevEnvironment environment) {
    const auto backend = std::make_shared<Kind>(spec, std::move(environment));
    backend->start();
    return backend;
}

std::shared_ptr<Backend> make_backend(const ChardevSpec& spec, ChardevEnvironment environment) {
    switch (spec.kind) {
        case ChardevSpec::Kind::null:
            return start<NullBackend>(spec, std::move(environment));
        case ChardevSpec::Kind::file:
            return start<FileBackend>(spec, std::move(environment));
        case ChardevSpec::Kind::pty:
            return start<Pty>(spec, std::move(environment));
        case ChardevSpec::Kind::stdio:
            return StdioBackend::get(spec, environment);
        case ChardevSpec::Kind::tcp:
        case ChardevSpec::Kind::unix_socket:
            if (spec.client) return start<Connector>(spec, std::move(environment));
            return start<Listener>(spec, std::move(environment));
    }
    throw Error(ErrorKind::usage, "unknown kind of byte device");
}

}  // namespace

std::shared_ptr<Chardev> open_chardev(const ChardevSpec& spec, ChardevEnvironment environment) {
    const bool input = environment.input;
    const auto backend = make_backend(spec, std::move(environment));
    return std::make_shared<ChardevHandle>(backend, input);
}

}  // namespace asyncvm
