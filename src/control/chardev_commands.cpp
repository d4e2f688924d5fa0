#include "control/chardev_commands.hpp"

#include <fmt/format.h>

#include <utility>

namespace asyncvm::control {

namespace {

class ChardevCommands final : public CommandGroup {
public:
    explicit ChardevCommands(StreamTable streams) : streams_(std::move(streams)) {}

    [[nodiscard]] awaitable<std::optional<Json>> carry_out(const Command& command, const Json& arguments) override;
    [[nodiscard]] awaitable<std::optional<std::string>> human(std::string_view line) override;
    [[nodiscard]] std::string_view human_help() const noexcept override { return "info chardev"; }

private:
    [[nodiscard]] Json query() const;
    [[nodiscard]] std::shared_ptr<Chardev> find(const std::string& label) const;

    StreamTable streams_;
};

Json ChardevCommands::query() const {
    Json all = Json::array();
    for (const auto& stream : streams_.all()) {
        all.push_back({{"label", stream.label},
                       {"filename", stream.description},
                       {"frontend-open", true},
                       {"connected", stream.connected}});
    }
    return all;
}

std::shared_ptr<Chardev> ChardevCommands::find(const std::string& label) const {
    auto stream = streams_.find(label);
    if (!stream) throw CommandError(fmt::format("Chardev '{}' not found", label));
    return stream;
}

awaitable<std::optional<Json>> ChardevCommands::carry_out(const Command& command, const Json& arguments) {
    std::optional<Json> answer;
    if (command.name == "query-chardev") {
        answer = query();
    } else if (command.name == "chardev-send-break") {
        find(arguments.at("id").get<std::string>())->send_break();
        answer = Json::object();
    }
    co_return answer;
}

awaitable<std::optional<std::string>> ChardevCommands::human(std::string_view line) {
    std::optional<std::string> text;
    if (line == "info chardev") {
        text.emplace();
        for (const auto& stream : streams_.all())
            *text += fmt::format("{}: filename={}\r\n", stream.label, stream.description);
    }
    co_return text;
}

}  // namespace

std::shared_ptr<CommandGroup> make_chardev_commands(StreamTable streams) {
    return std::make_shared<ChardevCommands>(std::move(streams));
}

}  // namespace asyncvm::control
