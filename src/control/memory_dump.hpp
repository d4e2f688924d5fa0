/// dump-guest-memory, as QEMU has it (its qapi/dump.json): a core file on command.
#pragma once

#include "control/json.hpp"
#include "vmcore/dump.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace asyncvm::control {

/// One for a machine, one dump at a time. Everything on the device loop's thread.
class MemoryDump : public std::enable_shared_from_this<MemoryDump> {
public:
    using Tell = std::function<void(std::string_view name, const Json& data)>;
    /// Holds the guest, and lets it go on.
    struct Hold {
        std::function<awaitable<void>()> begin;
        std::function<void()> end;
    };

    /// `machine` outlives the dumps.
    MemoryDump(Machine& machine, Tell tell, Hold hold) : machine_(machine), tell_(std::move(tell)), hold_(std::move(hold)) {}

    /// Completes when the file is there, or with `detach` at once; DUMP_COMPLETED follows in both cases. `arguments` fit the
    /// command's. Throws CommandError, Error(host).
    [[nodiscard]] static awaitable<void> carry_out(std::shared_ptr<MemoryDump> self, Json arguments);

    /// The answer to query-dump.
    [[nodiscard]] Json status() const;

    [[nodiscard]] bool active() const noexcept { return state_ == State::active; }
    /// Throws CommandError while a dump is being written: what would move the guest must wait.
    void refuse_if_active() const;

private:
    enum class State : std::uint8_t { none, active, completed, failed };
    [[nodiscard]] static awaitable<void> write(std::shared_ptr<MemoryDump> self, vmcore::Request request);

    Machine& machine_;
    const Tell tell_;
    const Hold hold_;
    State state_ = State::none;
    vmcore::Progress progress_;
};

/// What `arguments` ask for. Pure. Throws CommandError, with QEMU's texts.
[[nodiscard]] vmcore::Request parse_dump(const Json& arguments);

}  // namespace asyncvm::control
