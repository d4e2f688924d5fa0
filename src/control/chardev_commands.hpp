/// What the commands of the control socket do with a machine's streams.
#pragma once

#include "control/command_group.hpp"

#include <asyncvm/chardev.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::control {

/// What the commands work on. The functions are called on the device loop.
struct StreamTable {
    struct Stream {
        std::string label;
        std::string description;
        bool connected = false;
    };
    std::function<std::vector<Stream>()> all{};
    std::function<std::shared_ptr<Chardev>(std::string_view label)> find{};  ///< null: there is none of that label
};

[[nodiscard]] std::shared_ptr<CommandGroup> make_chardev_commands(StreamTable streams);

}  // namespace asyncvm::control
