#include "control/block_commands.hpp"

#include "control/block_json.hpp"
#include "control/block_lines.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace asyncvm::control {

namespace {

std::string text(const Json& arguments, std::string_view name) {
    const auto found = arguments.find(name);
    return found == arguments.end() ? std::string() : found->get<std::string>();
}

bool is_true(const Json& arguments, std::string_view name) {
    const auto found = arguments.find(name);
    return found != arguments.end() && found->get<bool>();
}

/// What is left of a disk's errors to be told.
struct ErrorEvents {
    explicit ErrorEvents(asio::io_context& loop) : timer(loop) {}
    asio::steady_timer timer;
    bool quiet = false;
    Json last = Json();  ///< null: nothing
};

class BlockCommands final : public CommandGroup, public std::enable_shared_from_this<BlockCommands> {
public:
    BlockCommands(std::vector<Disk> disks, asio::io_context& loop, TellOfDisks tell, std::chrono::milliseconds quiet)
        : disks_(std::move(disks)), tell_(std::move(tell)), quiet_(quiet) {
        for (std::size_t index = 0; index < disks_.size(); ++index) errors_.push_back(std::make_unique<ErrorEvents>(loop));
    }
    BlockCommands(const BlockCommands&) = delete;
    BlockCommands& operator=(const BlockCommands&) = delete;
    ~BlockCommands() override {
        for (const Disk& disk : disks_) disk.drive->on_error({});
    }

    void watch() {
        for (std::size_t index = 0; index < disks_.size(); ++index) {
            disks_[index].drive->on_error([weak = weak_from_this(), index](bool writes, std::error_code error) {
                if (const auto self = weak.lock()) self->failed(index, writes, error);
            });
        }
    }

    [[nodiscard]] awaitable<std::optional<Json>> carry_out(const Command& command, const Json& arguments) override;
    [[nodiscard]] awaitable<std::optional<std::string>> human(std::string_view line) override;
    [[nodiscard]] std::string_view human_help() const noexcept override {
        return "info block [-v] [DEVICE], info blockstats, block_resize DEVICE SIZE, change DEVICE [-f] FILE [raw [MODE]]";
    }

private:
    [[nodiscard]] const Disk* find(std::string_view name) const;
    [[nodiscard]] awaitable<void> resize(const Json& arguments);
    [[nodiscard]] awaitable<void> change(const Json& arguments);
    void failed(std::size_t index, bool writes, std::error_code error);
    void tell(std::size_t index, const Json& data);

    std::vector<Disk> disks_;
    std::vector<std::unique_ptr<ErrorEvents>> errors_;  ///< one a disk
    TellOfDisks tell_;
    const std::chrono::milliseconds quiet_;
};

/// By any of its names. Null: there is none.
const Disk* BlockCommands::find(std::string_view name) const {
    const auto found = std::ranges::find_if(disks_, [this, name](const Disk& disk) {
        return name == disk.label || name == node_name(disk) || name == device_path(disks_, disk);
    });
    return found == disks_.end() ? nullptr : &*found;
}

awaitable<void> BlockCommands::resize(const Json& arguments) {
    const auto device = text(arguments, "device");
    const auto node = text(arguments, "node-name");
    // QEMU looks at the node only where there is no device.
    const Disk* const disk = find(device.empty() ? node : device);
    if (disk == nullptr) throw CommandError(fmt::format("Cannot find device='{}' nor node-name='{}'", device, node));
    const auto& size = arguments.at("size");
    const bool positive = size.is_number_unsigned() ? size.get<std::uint64_t>() > 0 : size.get<std::int64_t>() > 0;
    if (!positive) throw CommandError("Parameter 'size' expects a >0 size");
    const auto drive = disk->drive;
    co_await drive->resize(size.get<std::uint64_t>());
}

awaitable<void> BlockCommands::change(const Json& arguments) {
    if (arguments.contains("device") == arguments.contains("id")) {
        throw CommandError("Need exactly one of 'device' and 'id'");
    }
    const auto name = text(arguments, arguments.contains("id") ? "id" : "device");
    const Disk* const disk = find(name);
    if (disk == nullptr) throw CommandError(fmt::format("Device '{}' not found", name), "DeviceNotFound");
    const auto format = text(arguments, "format");
    if (!format.empty() && format != "raw") throw CommandError(fmt::format("Unknown driver '{}'", format));
    const auto drive = disk->drive;
    DiskSpec spec = with_source(drive->spec(), text(arguments, "filename"));
    const auto mode = text(arguments, "read-only-mode");
    if (mode == "read-only" || mode == "read-write") {
        spec.read_only = mode == "read-only";
    } else if (!mode.empty() && mode != "retain") {
        throw CommandError(fmt::format("Parameter 'read-only-mode' does not accept value '{}'", mode));
    }
    co_await drive->change(std::move(spec), is_true(arguments, "force"));
}

awaitable<std::optional<Json>> BlockCommands::carry_out(const Command& command, const Json& arguments) {
    std::optional<Json> answer;
    if (command.name == "query-block") {
        answer = describe_disks(disks_);
    } else if (command.name == "query-blockstats") {
        answer = count_disks(disks_);
    } else if (command.name == "block_resize") {
        co_await resize(arguments);
        answer = Json::object();
    } else if (command.name == "blockdev-change-medium") {
        co_await change(arguments);
        answer = Json::object();
    }
    co_return answer;
}

awaitable<std::optional<std::string>> BlockCommands::human(std::string_view line) {
    std::optional<std::string> answer;
    const auto words = words_of(line);
    const std::string_view first = words.empty() ? std::string_view() : words.front();
    if (words.size() >= 2 && first == "info" && words[1] == "block") {
        answer = disks_as_text(disks_, words);
    } else if (words.size() == 2 && first == "info" && words[1] == "blockstats") {
        answer = counts_as_text(disks_);
    } else if (first == "block_resize" || first == "change") {
        try {
            if (first == "change") {
                const Json arguments = change_arguments(words);
                co_await change(arguments);
            } else {
                const Json arguments = resize_arguments(words);
                co_await resize(arguments);
            }
            answer.emplace();
        } catch (const HumanError& error) {
            answer = fmt::format("{}\r\n", error.what());
        } catch (const CommandError& error) {
            answer = fmt::format("Error: {}\r\n", error.what());
        } catch (const Error& error) {
            answer = fmt::format("Error: {}\r\n", error.what());
        }
    }
    co_return answer;
}

void BlockCommands::failed(std::size_t index, bool writes, std::error_code error) {
    ErrorEvents& events = *errors_[index];
    auto data = io_error(disks_[index], writes, error);
    if (events.quiet) {
        events.last = std::move(data);
    } else {
        tell(index, data);
    }
}

void BlockCommands::tell(std::size_t index, const Json& data) {
    ErrorEvents& events = *errors_[index];
    events.quiet = true;
    events.timer.expires_after(quiet_);
    events.timer.async_wait([weak = weak_from_this(), index](std::error_code cancelled) {
        const auto self = weak.lock();
        if (cancelled || !self) return;
        ErrorEvents& late = *self->errors_[index];
        late.quiet = false;
        if (!late.last.is_null()) self->tell(index, std::exchange(late.last, Json()));
    });
    tell_("BLOCK_IO_ERROR", data);
}

}  // namespace

std::shared_ptr<CommandGroup> make_block_commands(std::vector<Disk> disks, asio::io_context& loop, TellOfDisks tell,
                                                  std::chrono::milliseconds quiet) {
    auto commands = std::make_shared<BlockCommands>(std::move(disks), loop, std::move(tell), quiet);
    commands->watch();
    return commands;
}

}  // namespace asyncvm::control
