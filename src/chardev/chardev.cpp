// From a ChardevSpec to what is behind a Chardev; and the kinds that need no file of their own: file: and null.
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

namespace {

class FileBackend : public Backend {
public:
    /// Throws Error(host).
    FileBackend(const ChardevSpec& spec, ChardevEnvironment environment, Succession from)
        : Backend(spec, std::move(environment), std::move(from)), file_(spec.path, spec.append, Queue::Reader::client) {}

    [[nodiscard]] std::string description() const override { return "file:" + file_.path(); }

private:
    void run() override {
        queue().set_connected(true);
        spawn(feed(shared_from_this(), file_));
    }
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
    using Backend::Backend;

    [[nodiscard]] std::string description() const override { return "null"; }

private:
    void run() override { queue().set_connected(true); }
    void push() override {}
    [[nodiscard]] std::string waiting(std::uint64_t) const override { return {}; }
    void shut() noexcept override {}
};

}  // namespace

std::shared_ptr<Backend> make_backend(const ChardevSpec& spec, const ChardevEnvironment& environment,
                                      const Succession& from) {
    switch (spec.kind) {
        case ChardevSpec::Kind::null:
            return std::make_shared<NullBackend>(spec, environment, from);
        case ChardevSpec::Kind::file:
            return std::make_shared<FileBackend>(spec, environment, from);
        case ChardevSpec::Kind::pty:
            return std::make_shared<Pty>(spec, environment, from);
        case ChardevSpec::Kind::stdio:
            return StdioBackend::get(spec, environment, from);
        case ChardevSpec::Kind::tcp:
        case ChardevSpec::Kind::unix_socket:
            if (spec.client) return std::make_shared<Connector>(spec, environment, from);
            return std::make_shared<Listener>(spec, environment, from);
    }
    throw Error(ErrorKind::usage, "unknown kind of byte device");
}

}  // namespace asyncvm
