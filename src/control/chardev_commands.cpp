#include "control/chardev_commands.hpp"

#include "control/chardev_backend.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <utility>

namespace asyncvm::control {

namespace {

class ChardevCommands final : public CommandGroup {
public:
    explicit ChardevCommands(StreamTable streams) : streams_(std::move(streams)) {}

    [[nodiscard]] awaitable<std::optional<Json>> carry_out(const Command& command, const Json& arguments) override;
    [[nodiscard]] awaitable<std::optional<std::string>> human(std::string_view line) override;
    [[nodiscard]] std::string_view human_help() const noexcept override { return "info chardev, chardev-change ID SPEC"; }

private:
    [[nodiscard]] Json query() const;
    void send_break(const std::string& label) const;
    [[nodiscard]] ChardevSpec present(const std::string& label) const;
    [[nodiscard]] awaitable<Json> change(const Json& arguments);
    [[nodiscard]] awaitable<Json> change(std::string label, ChardevBackend to);
    [[nodiscard]] ChardevBackend parse_spec(std::string_view text, const ChardevSpec& present) const;
    [[nodiscard]] awaitable<std::string> human_change(std::string_view words);

    StreamTable streams_;
};

Json ChardevCommands::query() const {
    Json all = Json::array();
    for (const auto& [label, chardev] : streams_.all()) {
        all.push_back({{"label", label},
                       {"filename", chardev->description()},
                       {"frontend-open", true},
                       {"connected", chardev->connected()}});
    }
    return all;
}

void ChardevCommands::send_break(const std::string& label) const {
    const auto stream = streams_.find(label);
    if (!stream) throw CommandError(fmt::format("Chardev '{}' not found", label));
    stream->chardev->send_break();
}

ChardevSpec ChardevCommands::present(const std::string& label) const {
    const auto stream = streams_.find(label);
    if (!stream) throw CommandError(fmt::format("Chardev '{}' does not exist", label));
    return spec_of(*stream->chardev);
}

/// Our own words say everything, but that a log goes on if they name no other.
ChardevBackend ChardevCommands::parse_spec(std::string_view text, const ChardevSpec& present) const {
    ChardevBackend to{.spec = parse_chardev_spec(text)};
    if (to.spec.log.empty()) to.spec.log = present.log;
    return to;
}

awaitable<Json> ChardevCommands::change(std::string label, ChardevBackend to) {
    co_await streams_.change(label, to.spec, to.connect_later);
    Json answer = Json::object();
    constexpr std::string_view pty = "pty:";
    const auto stream = streams_.find(label);
    const auto where = stream ? stream->chardev->description() : std::string();
    if (where.starts_with(pty)) answer["pty"] = where.substr(pty.size());
    co_return answer;
}

awaitable<Json> ChardevCommands::change(const Json& arguments) {
    const auto label = arguments.at("id").get<std::string>();
    const auto backend = arguments.find("backend");
    const auto spec = arguments.find("spec");
    const bool both = backend != arguments.end() && spec != arguments.end();
    if (both) throw CommandError("Parameter 'spec' is unexpected: 'backend' says where the stream goes");
    if (backend == arguments.end() && spec == arguments.end()) throw CommandError("Parameter 'backend' is missing");
    auto to = spec == arguments.end() ? parse_backend(*backend, present(label))
                                      : parse_spec(spec->get<std::string>(), present(label));
    auto answer = co_await change(label, std::move(to));
    co_return answer;
}

awaitable<std::optional<Json>> ChardevCommands::carry_out(const Command& command, const Json& arguments) {
    std::optional<Json> answer;
    if (command.name == "query-chardev") {
        answer = query();
    } else if (command.name == "query-chardev-backends") {
        answer = Json::array();
        for (const auto name : chardev_backends()) answer->push_back({{"name", name}});
    } else if (command.name == "chardev-change") {
        answer = co_await change(arguments);
    } else if (command.name == "chardev-send-break") {
        send_break(arguments.at("id").get<std::string>());
        answer = Json::object();
    }
    co_return answer;
}

awaitable<std::string> ChardevCommands::human_change(std::string_view words) {
    const auto space = words.find(' ');
    if (space == 0 || space >= words.size() - 1) {
        co_return "chardev-change: string expected\r\nTry \"help\" for more information\r\n";
    }
    const std::string label(words.substr(0, space));
    std::string problem;
    try {
        auto to = parse_spec(words.substr(space + 1), present(label));
        static_cast<void>(co_await change(label, std::move(to)));
    } catch (const CommandError& error) {
        problem = error.what();
    } catch (const Error& error) {
        problem = error.what();
    }
    co_return problem.empty() ? problem : fmt::format("Error: {}\r\n", problem);
}

awaitable<std::optional<std::string>> ChardevCommands::human(std::string_view line) {
    constexpr std::string_view change = "chardev-change";
    std::optional<std::string> text;
    if (line == "info chardev") {
        text.emplace();
        for (const auto& [label, chardev] : streams_.all())
            *text += fmt::format("{}: filename={}\r\n", label, chardev->description());
    } else if (line == change) {
        text = co_await human_change({});
    } else if (line.starts_with(change) && line[change.size()] == ' ') {
        text = co_await human_change(line.substr(change.size() + 1));
    }
    co_return text;
}

}  // namespace

std::shared_ptr<CommandGroup> make_chardev_commands(StreamTable streams) {
    return std::make_shared<ChardevCommands>(std::move(streams));
}

}  // namespace asyncvm::control
