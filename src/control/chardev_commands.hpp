/// What the commands of the control socket do with a machine's streams.
#pragma once

#include "control/command_group.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/open_chardev.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::control {

/// What the commands work on. The functions are called on the device loop.
struct StreamTable {
    struct Stream {
        std::string label;
        std::shared_ptr<Chardev> chardev;  ///< of open_chardev()
    };
    std::function<std::vector<Stream>()> all{};
    std::function<std::optional<Stream>(std::string_view label)> find{};
    /// Of one that find() has found: change_chardev(), or an Error if it may not go there.
    std::function<awaitable<void>(std::string_view label, const ChardevSpec& spec, bool connect_later)> change{};
};

[[nodiscard]] std::shared_ptr<CommandGroup> make_chardev_commands(StreamTable streams);

}  // namespace asyncvm::control
