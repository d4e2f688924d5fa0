// From a ChardevSpec to the Chardev that a device holds; and the kinds that need no file of their own: file: and null.
#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <asyncvm/open_chardev.hpp>
#include <chardev/backend.hpp>
#include <chardev/connector.hpp>
#include <chardev/listener.hpp>
#include <chardev/pty.hpp>
#include <chardev/stdio.hpp>

#include <cerrno>
#include <utility>

namespace asyncvm {

awaitable<void> Chardev::write(std::span<const std::byte> data) {
    for (;;) {
        const auto seen = changed_.generation();
        data = data.subspan(write_some(data));
        if (data.empty()) break;
        co_await changed_.wait(seen);
    }
}

namespace {

class FileBackend : public Backend {
public:
    /// Throws Error(host).
    FileBackend(const ChardevSpec& spec, ChardevEnvironment environment)
        : Backend(spec, std::move(environment)), file_(spec.path, spec.append, Queue::Reader::client) {
        queue().set_connected(true);
    }

    [[nodiscard]] std::string description() const override { return "file:" + file_.path(); }

private:
    void run() override { spawn(feed(shared_from_this(), file_)); }
    void push() override { file_.flush(queue()); }
    [[nodiscard]] bool failing() override { return file_.failing(); }
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override {
        return fmt::format("{} to be written to {} (Ctrl-C gives up)", bytes_wait(bytes), file_.path());
    }
    void shut() noexcept override { file_.close(queue()); }

    FileSink file_;
};

/// Output vanishes (but for a log), input never comes.
class NullBackend : public Backend {
public:
    NullBackend(const ChardevSpec& spec, ChardevEnvironment environment) : Backend(spec, std::move(environment), false) {
        queue().set_connected(true);
    }

    [[nodiscard]] std::string description() const override { return "null"; }

private:
    void run() override {}
    void push() override {}
    [[nodiscard]] std::string waiting(std::uint64_t) const override { return {}; }
    void shut() noexcept override {}
};

/// What a device holds: its view of a Backend.
class ChardevHandle : public Chardev {
public:
    /// Without `input` it reads nothing.
    ChardevHandle(std::shared_ptr<Backend> backend, bool input) : backend_(std::move(backend)), input_(input) {
        backend_->acquire();
        queue().add_listener(changed());
    }
    ~ChardevHandle() override { ChardevHandle::close(); }

    std::size_t write_some(std::span<const std::byte> data) noexcept override { return queue().write_some(data); }
    [[nodiscard]] bool writable() const noexcept override { return queue().writable(); }
    [[nodiscard]] std::uint64_t room() const noexcept override { return queue().room(); }
    std::size_t read_some(std::span<std::byte> data) noexcept override { return input_ ? queue().read_some(data) : 0; }
    void give_back(std::size_t count) noexcept override {
        if (input_) backend_->give_back(count);
    }
    bool take_break() noexcept override { return input_ && queue().take_break(); }
    void send_break() override {
        if (input_) queue().push_break();
    }
    [[nodiscard]] bool readable() const noexcept override { return input_ && queue().readable(); }
    [[nodiscard]] bool connected() const noexcept override { return queue().connected(); }
    [[nodiscard]] TerminalSize terminal_size() const noexcept override { return queue().terminal_size(); }
    [[nodiscard]] awaitable<void> ready() override {
        const auto backend = backend_;
        co_await backend->ready();
    }
    [[nodiscard]] awaitable<std::uint64_t> drain() override {
        const auto backend = backend_;
        const auto left = co_await backend->drain();
        co_return left;
    }
    [[nodiscard]] std::uint64_t undelivered() override { return backend_->undelivered(); }
    [[nodiscard]] Traffic traffic() const override { return {queue().end(), queue().input_taken()}; }
    void close() noexcept override {
        if (std::exchange(closed_, true)) return;
        if (input_) backend_->stop_input();
        backend_->release();
        queue().remove_listener(changed());
        changed().notify();
    }
    [[nodiscard]] std::string description() const override { return backend_->description(); }

private:
    [[nodiscard]] Queue& queue() const noexcept { return backend_->queue(); }

    std::shared_ptr<Backend> backend_;
    bool input_;
    bool closed_ = false;
};

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

std::shared_ptr<Chardev> open_chardev(std::string_view spec, ChardevEnvironment environment) {
    return open_chardev(parse_chardev_spec(spec), std::move(environment));
}

}  // namespace asyncvm
