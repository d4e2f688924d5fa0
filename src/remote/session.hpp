/// What has been said on one connection, and what may be said next: ids, commands without a reply, versions, resets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "remote/frame.hpp"

namespace asyncvm::remote {

/// The least that a device may take in one frame, in bytes of data.
inline constexpr std::uint32_t least_data = 16;

/// What the monitor says of itself.
struct Offer {
    std::uint32_t capabilities = 0;
    std::uint32_t max_data = 65536;  ///< bytes of data that a frame may have
    std::uint16_t irqs = 0;          ///< interrupt lines
    std::vector<Region> regions{};
};

/// What the device has answered.
struct Agreement {
    std::uint32_t capabilities = 0;
    std::uint32_t max_data = 0;
    unsigned max_requests = 1;  ///< commands that it takes before it has replied
    std::string name{};
};

/// What the device has sent.
struct Said {
    enum class Kind : std::uint8_t {
        nothing,    ///< no whole frame is there
        held,       ///< the next frame would change what the guest sees, and that may not be now
        reply,      ///< to command `id`
        interrupt,  ///< line `line` to `level`
        log,        ///< `data` is the text, `level` how bad it is
        memory_read,
        memory_write,
    };
    Kind kind = Kind::nothing;
    std::uint16_t id = 0;
    Command command{};
    bool wants_reply = false;
    std::uint32_t error = 0;  ///< reply: an errno value, or 0
    std::uint32_t line = 0;
    std::uint32_t level = 0;
    std::uint64_t address = 0;
    std::uint64_t count = 0;
    std::span<const std::byte> data{};  ///< until the next call
};

/// The monitor's side. One caller at a time.
class Session {
public:
    static constexpr unsigned most_late = 64;  ///< accesses in a row without an answer

    explicit Session(Offer offer) : offer_(std::move(offer)) {}

    // What the monitor says: each appends a frame to `out`. The id is that of the reply.

    /// First of all.
    std::uint16_t greet(Bytes& out);
    /// Whether one more command may be sent that is answered.
    [[nodiscard]] bool may_ask() const noexcept { return agreed_ && waiting_.size() < agreement_.max_requests; }
    /// The descriptor goes with it.
    std::uint16_t map_memory(Bytes& out, std::uint64_t offset, std::uint64_t address, std::uint64_t size);
    std::uint16_t reset(Bytes& out);
    /// `access.count` is at most the agreement's max_data.
    std::uint16_t read(Bytes& out, const RegionAccess& access);
    /// Posted, nobody answers it, and may_ask() need not hold.
    std::uint16_t write(Bytes& out, const RegionAccess& access, std::span<const std::byte> data, bool posted);
    /// Replies to commands of the device.
    static void answer(Bytes& out, const Said& said, std::span<const std::byte> data = {});
    static void refuse(Bytes& out, const Said& said, int error);

    /// Nobody waits for the reply to `id` any more; it counts until it has come. `late`: because it took too long.
    void forget(std::uint16_t id, bool late);
    /// An access has not even been asked, for so long that nobody waits any more.
    void note_late();

    // What the device says.

    [[nodiscard]] FrameReader& reader() noexcept { return reader_; }
    /// The next thing; what can be answered without the caller is, to `out`. With `hold` it is none that would change
    /// interrupts or memory.
    [[nodiscard]] Said next(bool hold, Bytes& out);

    [[nodiscard]] bool agreed() const noexcept { return agreed_; }
    [[nodiscard]] const Agreement& agreement() const noexcept { return agreement_; }
    [[nodiscard]] const Offer& offer() const noexcept { return offer_; }
    /// Commands without a reply.
    [[nodiscard]] std::size_t unanswered() const noexcept { return waiting_.size(); }
    /// Empty, or why the connection has to end: "it has not ...".
    [[nodiscard]] const std::string& broken() const noexcept { return broken_; }

private:
    struct Waiting {
        std::uint16_t id;
        Command command;
        bool forgotten = false;
        RegionAccess access{};
    };

    [[nodiscard]] std::uint16_t ask(Command command, const RegionAccess& access = {});
    [[nodiscard]] std::uint16_t fresh_id() noexcept;
    [[nodiscard]] std::optional<Said> take_reply(const Frame& frame);
    [[nodiscard]] bool take_version(const Frame& frame);
    [[nodiscard]] std::optional<Said> take_command(const Frame& frame, Bytes& out);
    /// 0, or the errno value of what is wrong.
    [[nodiscard]] int check(const Frame& frame, Said& said) const;
    [[nodiscard]] int check_memory(const Frame& frame, Said& said, std::uint32_t capability, bool with_data) const;
    [[nodiscard]] bool resetting() const noexcept;
    void break_off(std::string why);

    const Offer offer_;
    Agreement agreement_;
    bool agreed_ = false;
    FrameReader reader_;
    bool given_ = false;  ///< the frame at the reader's front has been given
    std::uint16_t next_id_ = 0;
    std::vector<Waiting> waiting_;
    unsigned late_in_a_row_ = 0;
    std::string broken_;
};

}  // namespace asyncvm::remote
