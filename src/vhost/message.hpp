/// The messages of vhost-user, by which a front end (this program) has a back end (another process) serve the rings of a
/// virtio device: what they say, as bytes, and back, whatever the bytes are. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace asyncvm::vhost {

enum class Request : std::uint32_t {
    get_features = 1,
    set_features = 2,
    set_owner = 3,
    set_mem_table = 5,
    set_vring_num = 8,
    set_vring_addr = 9,
    set_vring_base = 10,
    get_vring_base = 11,
    set_vring_kick = 12,
    set_vring_call = 13,
    get_protocol_features = 15,
    set_protocol_features = 16,
    get_queue_num = 17,
    set_vring_enable = 18,
    get_config = 24,
    get_inflight_fd = 31,
    set_inflight_fd = 32,
};

/// Among the virtio features: the back end has protocol features, and rings start disabled.
inline constexpr std::uint64_t has_protocol_features = std::uint64_t{1} << 30;

// Protocol features, as far as this front end knows them.
inline constexpr std::uint64_t protocol_queue_count = std::uint64_t{1} << 0;  ///< MQ: GET_QUEUE_NUM
inline constexpr std::uint64_t protocol_reply_ack = std::uint64_t{1} << 3;    ///< every message may ask for an answer
inline constexpr std::uint64_t protocol_config = std::uint64_t{1} << 9;       ///< GET_CONFIG
inline constexpr std::uint64_t protocol_inflight = std::uint64_t{1} << 12;    ///< a record of requests under way
inline constexpr std::uint64_t known_protocol_features =
    protocol_queue_count | protocol_reply_ack | protocol_config | protocol_inflight;

inline constexpr std::size_t header_size = 12;     ///< request, flags, size of the payload
inline constexpr std::size_t most_payload = 4096;  ///< bytes; a back end that claims more is not understood
inline constexpr std::size_t most_regions = 8;     ///< of a memory table

/// A message of the front end.
struct Message {
    /// No aggregate: g++ 12 destroys a temporary one in an awaited call twice.
    Message() = default;
    explicit Message(Request of) : request(of) {}

    Request request{};
    bool needs_reply = false;  ///< of a request that has no answer of its own, with protocol_reply_ack
    std::vector<std::byte> payload{};
    std::vector<int> descriptors{};  ///< the caller's
};

/// A piece of guest memory, as the back end needs it.
struct MemoryRegion {
    std::uint64_t guest_address = 0;
    std::uint64_t size = 0;
    std::uint64_t user_address = 0;  ///< what ring addresses are counted in: this process's
    std::uint64_t offset = 0;        ///< in `descriptor`
    int descriptor = -1;
};

/// Addresses are user addresses.
struct RingAddresses {
    std::uint64_t descriptors = 0;
    std::uint64_t used = 0;
    std::uint64_t available = 0;
};

/// Memory in which a back end keeps which requests it has under way, for the one that comes after it.
struct InflightArea {
    std::uint64_t size = 0;  ///< bytes
    std::uint64_t offset = 0;
    std::uint16_t queues = 0;
    std::uint16_t queue_size = 0;
};

[[nodiscard]] Message plain(Request request);
[[nodiscard]] Message with_number(Request request, std::uint64_t number);
/// Number, base, enabling, and the question for the base of ring `ring`.
[[nodiscard]] Message for_ring(Request request, unsigned ring, std::uint32_t value);
/// Kick and call: `descriptor` is an eventfd.
[[nodiscard]] Message with_eventfd(Request request, unsigned ring, int descriptor);
[[nodiscard]] Message set_addresses(unsigned ring, const RingAddresses& addresses);
/// most_regions at most.
[[nodiscard]] Message set_memory(std::span<const MemoryRegion> regions);
/// For `size` bytes from the beginning.
[[nodiscard]] Message get_config(std::uint32_t size);
[[nodiscard]] Message get_inflight(std::uint16_t queues, std::uint16_t queue_size);
[[nodiscard]] Message set_inflight(const InflightArea& area, int descriptor);

/// What goes over the socket; the descriptors go with its first byte.
[[nodiscard]] std::vector<std::byte> bytes_of(const Message& message);

/// Whether the back end answers it.
[[nodiscard]] bool is_answered(const Message& message) noexcept;

/// What a back end has sent, with how many descriptors.
struct Answer {
    std::uint32_t request = 0;
    std::uint32_t flags = 0;
    std::vector<std::byte> payload{};
    unsigned descriptors = 0;
};

/// Empty, or why `answer` is none to `message`.
[[nodiscard]] std::string mistake_in(const Answer& answer, const Message& message);

// Of an answer without a mistake.
[[nodiscard]] std::uint64_t number_in(const Answer& answer);
/// Nothing: the back end has none of that size.
[[nodiscard]] std::optional<std::vector<std::byte>> config_in(const Answer& answer);
[[nodiscard]] InflightArea inflight_in(const Answer& answer);

/// Cuts what comes over the socket into answers.
class AnswerReader {
public:
    /// How many bytes the reader takes next: not more, so that a descriptor is that of one answer. Not 0 as long as there is
    /// no mistake().
    [[nodiscard]] std::size_t wanted() const noexcept;
    /// `bytes` are wanted() ones at most, and came with `descriptors`.
    void take(std::span<const std::byte> bytes, unsigned descriptors);
    /// An answer that is complete. Nothing: there is none yet.
    [[nodiscard]] std::optional<Answer> next();
    /// Not empty: no answer will come any more, because of this.
    [[nodiscard]] const std::string& mistake() const noexcept { return mistake_; }

private:
    std::vector<std::byte> bytes_;  ///< of the answer that comes
    std::size_t whole_ = header_size;
    unsigned descriptors_ = 0;
    std::string mistake_;
};

}  // namespace asyncvm::vhost
