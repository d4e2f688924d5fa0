/// The chardevs of a session: opened, waited for and closed together.
#pragma once

#include "cli/wiring.hpp"
#include "control/chardev_commands.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/observer.hpp>
#include <asyncvm/open_chardev.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::cli {

/// All functions on the device loop, or before it runs.
class Streams {
public:
    /// `on_quit`: the person at the terminal wants to end the program. `observer` hears of clients; null: nobody does.
    Streams(asio::io_context& loop, Log log, std::function<void()> on_quit, std::shared_ptr<Observer> observer = {});
    /// close()
    ~Streams();
    Streams(const Streams&) = delete;
    Streams& operator=(const Streams&) = delete;

    /// Devices that only write may share a chardev that has been opened for the same spec; standard input goes to the first
    /// that reads. Throws Error.
    [[nodiscard]] std::shared_ptr<Chardev> open(const StreamRequest& request);

    struct Stream {
        std::string label;      ///< whose it is: "serial0", "serial0+debugcon"
        std::string spec;       ///< with what it was opened
        bool standard = false;  ///< on the standard streams
        std::shared_ptr<Chardev> chardev;
        bool reads = false;  ///< StreamRequest::reads
    };

    /// In the order in which they were opened.
    [[nodiscard]] const std::vector<Stream>& all() const noexcept { return all_; }

    /// Those on the standard streams share their queues, and so their counts: the first of them stands for all.
    [[nodiscard]] std::vector<Stream> distinct() const;

    /// By its label, or the first part of it. Null: there is none.
    [[nodiscard]] const Stream* find(std::string_view label) const;

    /// Gives the stream another end. Standard input goes to one that reads, if no other has it. On standard streams that
    /// another one is on, too, the options of that hold. Throws what change_chardev() throws.
    [[nodiscard]] awaitable<void> change(const Stream& stream, ChardevSpec spec, bool connect_later);

    /// Closes sockets, removes socket files, restores the terminal.
    void close() noexcept;

private:
    asio::io_context& loop_;
    Log log_;
    std::function<void()> on_quit_;
    std::shared_ptr<Observer> observer_;
    const Chardev* reader_ = nullptr;  ///< of standard input
    std::vector<Stream> all_;
};

/// The control socket's commands about them. `streams` and `options` outlive them.
[[nodiscard]] std::shared_ptr<control::CommandGroup> stream_commands(Streams& streams, const Options& options);

}  // namespace asyncvm::cli
