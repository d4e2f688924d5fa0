/// pty: a pseudo-terminal that any terminal program can open.
#pragma once

#include <chardev/backend.hpp>
#include <chardev/descriptor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm {

/// A symbolic link to a pseudo-terminal, so that it can be found at a path that is known before.
class PtyLink {
public:
    /// Replaces a link that a program has left behind: one to a pseudo-terminal that does not exist any more, or that is
    /// younger than the link, or to `before`. Throws Error(host).
    PtyLink(std::string path, std::string target, std::string_view before);
    /// Removes the link, if it is still the one that was made.
    ~PtyLink();
    PtyLink(const PtyLink&) = delete;
    PtyLink& operator=(const PtyLink&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    void remove_left_over(std::string_view before) const;

    std::string path_;
    std::string target_;
    std::uint64_t inode_ = 0;
};

/// Output is given to the kernel only while somebody has the terminal open. The master's
/// POLLHUP says exactly whether that is so; inotify says when to look, so nothing is polled while nothing happens. As long
/// as the master is open the kernel keeps the terminal's settings (raw, no echo at first) and what a client left unread, for
/// the next one.
class Pty : public Backend {
public:
    /// Throws Error(host).
    Pty(const ChardevSpec& spec, ChardevEnvironment environment, Succession from);

    [[nodiscard]] std::string description() const override { return "pty:" + path_; }

private:
    static awaitable<void> attend(std::shared_ptr<Pty> self);
    static awaitable<void> send(std::shared_ptr<Pty> self);
    static awaitable<void> receive(std::shared_ptr<Pty> self);
    [[nodiscard]] bool present();
    [[nodiscard]] std::uint64_t unread_by_client() const;
    void take_back_output();
    void take_rest_of_input();
    /// Writes what goes at once; returns 0 or the errno that stopped it.
    int flush();

    void run() override;
    void push() override;
    [[nodiscard]] awaitable<void> leave() override;
    [[nodiscard]] std::uint64_t in_kernel() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    void shut() noexcept override;

    std::optional<Watched> master_;
    std::optional<Watched> events_;
    UniqueFd slave_;  ///< only while draining, or leaving
    std::string path_;
    std::optional<PtyLink> link_;
    OutputLog::Batch batch_;
    std::uint64_t last_unread_ = 0;  ///< in the kernel, when it was last looked
    Clock::time_point last_unread_at_{};
    std::uint64_t put_since_empty_ = 0;  ///< into the kernel, since nothing was there
};

}  // namespace asyncvm
