#include "vhost/message.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

namespace asyncvm::vhost {

namespace {

constexpr std::uint32_t version_mask = 3;
constexpr std::uint32_t version = 1;
constexpr std::uint32_t reply_flag = 4;
constexpr std::uint32_t need_reply_flag = 8;

constexpr std::size_t number_size = 8;
constexpr std::size_t ring_state_size = 8;    ///< a ring's number, and a value
constexpr std::size_t config_head_size = 12;  ///< offset, size, flags
constexpr std::size_t inflight_size = 20;     ///< without the padding that most back ends have
constexpr std::size_t inflight_padded_size = 24;

template <typename T>
void append(std::vector<std::byte>& to, T value) {
    static_assert(std::is_integral_v<T>);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
}

template <typename T>
T load(std::span<const std::byte> from, std::size_t offset) {
    T value{};
    std::memcpy(&value, from.subspan(offset, sizeof value).data(), sizeof value);
    return value;
}

bool has_own_answer(Request request) noexcept {
    switch (request) {
        case Request::get_features:
        case Request::get_vring_base:
        case Request::get_protocol_features:
        case Request::get_queue_num:
        case Request::get_config:
        case Request::get_inflight_fd:
            return true;
        default:
            return false;
    }
}

}  // namespace

Message plain(Request request) { return Message(request); }

Message with_number(Request request, std::uint64_t number) {
    Message message(request);
    append(message.payload, number);
    return message;
}

Message for_ring(Request request, unsigned ring, std::uint32_t value) {
    Message message(request);
    append(message.payload, std::uint32_t{ring});
    append(message.payload, value);
    return message;
}

Message with_eventfd(Request request, unsigned ring, int descriptor) {
    Message message = with_number(request, ring);
    message.descriptors.push_back(descriptor);
    return message;
}

Message set_addresses(unsigned ring, const RingAddresses& addresses) {
    Message message = for_ring(Request::set_vring_addr, ring, 0);  // without a log of writes
    append(message.payload, addresses.descriptors);
    append(message.payload, addresses.used);
    append(message.payload, addresses.available);
    append(message.payload, std::uint64_t{0});  // the log's address
    return message;
}

Message set_memory(std::span<const MemoryRegion> regions) {
    Message message(Request::set_mem_table);
    append(message.payload, static_cast<std::uint32_t>(regions.size()));
    append(message.payload, std::uint32_t{0});
    for (const MemoryRegion& region : regions) {
        append(message.payload, region.guest_address);
        append(message.payload, region.size);
        append(message.payload, region.user_address);
        append(message.payload, region.offset);
        message.descriptors.push_back(region.descriptor);
    }
    return message;
}

Message get_config(std::uint32_t size) {
    Message message(Request::get_config);
    append(message.payload, std::uint32_t{0});  // the offset
    append(message.payload, size);
    append(message.payload, std::uint32_t{0});  // flags
    message.payload.resize(message.payload.size() + size);
    return message;
}

Message set_inflight(const InflightArea& area, int descriptor) {
    Message message(Request::set_inflight_fd);
    append(message.payload, area.size);
    append(message.payload, area.offset);
    append(message.payload, area.queues);
    append(message.payload, area.queue_size);
    message.payload.resize(inflight_padded_size);
    if (descriptor >= 0) message.descriptors.push_back(descriptor);
    return message;
}

Message get_inflight(std::uint16_t queues, std::uint16_t queue_size) {
    Message message = set_inflight({.queues = queues, .queue_size = queue_size}, -1);
    message.request = Request::get_inflight_fd;
    return message;
}

std::vector<std::byte> bytes_of(const Message& message) {
    std::vector<std::byte> bytes;
    bytes.reserve(header_size + message.payload.size());
    append(bytes, static_cast<std::uint32_t>(message.request));
    append(bytes, version | (message.needs_reply ? need_reply_flag : 0));
    append(bytes, static_cast<std::uint32_t>(message.payload.size()));
    bytes.insert(bytes.end(), message.payload.begin(), message.payload.end());
    return bytes;
}

bool is_answered(const Message& message) noexcept { return message.needs_reply || has_own_answer(message.request); }

std::string mistake_in(const Answer& answer, const Message& message) {
    const auto asked = static_cast<std::uint32_t>(message.request);
    if (answer.request != asked) return fmt::format("it answers request {} with {}", asked, answer.request);
    if ((answer.flags & reply_flag) == 0) return fmt::format("it sends request {}, and was asked for an answer", asked);
    const unsigned descriptors = message.request == Request::get_inflight_fd ? 1 : 0;
    if (answer.descriptors != descriptors) {
        return fmt::format("its answer to request {} has {} descriptors in place of {}", asked, answer.descriptors,
                           descriptors);
    }
    const std::size_t size = answer.payload.size();
    bool fits = size == number_size;
    if (message.request == Request::get_vring_base) {
        fits = size == ring_state_size;
        if (fits && load<std::uint32_t>(answer.payload, 0) != load<std::uint32_t>(message.payload, 0)) {
            return fmt::format("it answers for ring {} in place of {}", load<std::uint32_t>(answer.payload, 0),
                               load<std::uint32_t>(message.payload, 0));
        }
    } else if (message.request == Request::get_config) {
        fits = size == 0 || size == message.payload.size();  // 0: it has none of that size
    } else if (message.request == Request::get_inflight_fd) {
        fits = size == inflight_size || size == inflight_padded_size;
    }
    if (!fits) return fmt::format("its answer to request {} has {} bytes", asked, size);
    if (!has_own_answer(message.request) && number_in(answer) != 0) {
        return fmt::format("it refuses request {} (its answer is {})", asked, number_in(answer));
    }
    return {};
}

std::uint64_t number_in(const Answer& answer) { return load<std::uint64_t>(answer.payload, 0); }

std::optional<std::vector<std::byte>> config_in(const Answer& answer) {
    if (answer.payload.size() < config_head_size) return std::nullopt;
    return std::vector<std::byte>(answer.payload.begin() + config_head_size, answer.payload.end());
}

InflightArea inflight_in(const Answer& answer) {
    return {.size = load<std::uint64_t>(answer.payload, 0),
            .offset = load<std::uint64_t>(answer.payload, 8),
            .queues = load<std::uint16_t>(answer.payload, 16),
            .queue_size = load<std::uint16_t>(answer.payload, 18)};
}

std::size_t AnswerReader::wanted() const noexcept { return whole_ - bytes_.size(); }

void AnswerReader::take(std::span<const std::byte> bytes, unsigned descriptors) {
    if (!mistake_.empty()) return;
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    descriptors_ += descriptors;
    if (bytes_.size() != header_size || whole_ != header_size) return;
    const auto flags = load<std::uint32_t>(bytes_, 4);
    const auto size = load<std::uint32_t>(bytes_, 8);
    if ((flags & version_mask) != version) {
        mistake_ = fmt::format("it speaks version {} of the protocol, and {} is there", flags & version_mask, version);
    } else if (size > most_payload) {
        mistake_ = fmt::format("it sends a message of {} bytes, and {} are the most", size, most_payload);
    } else {
        whole_ = header_size + size;
    }
}

std::optional<Answer> AnswerReader::next() {
    if (!mistake_.empty() || bytes_.size() < header_size || bytes_.size() < whole_) return std::nullopt;
    Answer answer{.request = load<std::uint32_t>(bytes_, 0),
                  .flags = load<std::uint32_t>(bytes_, 4),
                  .payload = {bytes_.begin() + header_size, bytes_.end()},
                  .descriptors = std::exchange(descriptors_, 0)};
    bytes_.clear();
    whole_ = header_size;
    return answer;
}

}  // namespace asyncvm::vhost
