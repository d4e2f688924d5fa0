/// pty: a pseudo-terminal that any terminal program can open.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/descriptor.hpp>

#include <optional>
#include <string>

namespace asyncvm {

/// Output is given to the kernel only while somebody has the terminal open. Whether that is so the master's POLLHUP says
/// exactly; inotify says when to look, so nothing is polled while nothing happens. As long as the master is open the kernel
/// keeps the terminal's settings (raw, no echo at first) and what a client left unread, for the next one.
class Pty : public Backend {
public:
    /// Throws Error(host).
    Pty(const ChardevSpec& spec, ChardevEnvironment environment);

    [[nodiscard]] std::string description() const override { return "pty:" + path_; }

private:
    static awaitable<void> attend(std::shared_ptr<Pty> self);
    static awaitable<void> send(std::shared_ptr<Pty> self);
    static awaitable<void> receive(std::shared_ptr<Pty> self);
    [[nodiscard]] bool present();
    /// Writes what goes at once; returns 0 or the errno that stopped it.
    int flush();

    void run() override;
    void push() override;
    [[nodiscard]] std::uint64_t in_kernel() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    void shut() noexcept override;

    std::optional<Watched> master_;
    std::optional<Watched> events_;
    UniqueFd slave_;  ///< only while draining
    std::string path_;
    OutputLog::Batch batch_;
    std::uint64_t last_unread_ = 0;  ///< in the kernel, when it was last looked
    Clock::time_point last_unread_at_{};
    std::uint64_t put_since_empty_ = 0;  ///< into the kernel, since nothing was there
};

}  // namespace asyncvm
