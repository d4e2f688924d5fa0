#include "remote/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace asyncvm::remote {

namespace {

constexpr std::size_t version_size = 16;  ///< of the reply, without the name
constexpr unsigned most_requests = 256;
constexpr std::uint32_t quietest_level = 2;

bool changes_guest(const Header& header) noexcept {
    return !header.is_reply() && (header.command == Command::set_irq || header.command == Command::dma_read ||
                                  header.command == Command::dma_write);
}

}  // namespace

// What the monitor says.

std::uint16_t Session::fresh_id() noexcept {
    while (std::ranges::find(waiting_, next_id_, &Waiting::id) != waiting_.end()) ++next_id_;
    return next_id_++;
}

std::uint16_t Session::ask(Command command, const RegionAccess& access) {
    const std::uint16_t id = fresh_id();
    waiting_.push_back({.id = id, .command = command, .access = access});
    return id;
}

std::uint16_t Session::greet(Bytes& out) {
    constexpr std::size_t fixed = 16;
    constexpr std::size_t region_size = 24;
    const std::uint16_t id = ask(Command::version);
    append_header(out, id, Command::version, fixed + region_size * offer_.regions.size(), type_command);
    append(out, protocol_major);
    append(out, protocol_minor);
    append(out, offer_.capabilities);
    append(out, offer_.max_data);
    append(out, offer_.irqs);
    append(out, static_cast<std::uint16_t>(offer_.regions.size()));
    for (const Region& region : offer_.regions) {
        append(out, region.address);
        append(out, region.size);
        append(out, std::uint32_t{region.memory});
        append(out, std::uint32_t{0});
    }
    return id;
}

std::uint16_t Session::map_memory(Bytes& out, std::uint64_t offset, std::uint64_t address, std::uint64_t size) {
    constexpr std::uint32_t read_and_write = 3;
    const std::uint16_t id = ask(Command::dma_map);
    append_header(out, id, Command::dma_map, map_size, type_command);
    append(out, static_cast<std::uint32_t>(map_size));
    append(out, read_and_write);
    append(out, offset);
    append(out, address);
    append(out, size);
    return id;
}

std::uint16_t Session::reset(Bytes& out) {
    const std::uint16_t id = ask(Command::device_reset);
    append_header(out, id, Command::device_reset, 0, type_command);
    return id;
}

std::uint16_t Session::read(Bytes& out, const RegionAccess& access) {
    const std::uint16_t id = ask(Command::region_read, access);
    append_header(out, id, Command::region_read, access_size, type_command);
    append_access(out, access);
    return id;
}

std::uint16_t Session::write(Bytes& out, const RegionAccess& access, std::span<const std::byte> data, bool posted) {
    const std::uint16_t id = posted ? fresh_id() : ask(Command::region_write, access);
    append_header(out, id, Command::region_write, access_size + data.size(), posted ? flag_no_reply : type_command);
    append_access(out, access);
    out.insert(out.end(), data.begin(), data.end());
    return id;
}

void Session::answer(Bytes& out, const Said& said, std::span<const std::byte> data) {
    if (!said.wants_reply) return;
    const bool memory = said.command == Command::dma_read || said.command == Command::dma_write;
    append_header(out, said.id, said.command, (memory ? access_size : 0) + data.size(), type_reply);
    if (!memory) return;
    append(out, said.address);
    append(out, said.count);
    out.insert(out.end(), data.begin(), data.end());
}

void Session::refuse(Bytes& out, const Said& said, int error) {
    if (!said.wants_reply) return;
    append_header(out, said.id, said.command, 0, type_reply | flag_error, static_cast<std::uint32_t>(error));
}

void Session::forget(std::uint16_t id, bool late) {
    const auto found = std::ranges::find(waiting_, id, &Waiting::id);
    if (found == waiting_.end()) return;
    found->forgotten = true;
    if (late) note_late();
    if (std::ranges::count(waiting_, true, &Waiting::forgotten) > most_late) {
        break_off(fmt::format("it has not answered {} accesses", most_late));
    }
}

void Session::note_late() {
    if (++late_in_a_row_ >= most_late) break_off(fmt::format("{} accesses in a row got no answer", most_late));
}

// What the device says.

void Session::break_off(std::string why) {
    if (broken_.empty()) broken_ = std::move(why);
}

bool Session::resetting() const noexcept {
    return std::ranges::any_of(waiting_, [](const Waiting& one) { return one.command == Command::device_reset; });
}

Said Session::next(bool hold, Bytes& out) {
    if (std::exchange(given_, false)) reader_.drop();
    while (broken_.empty()) {
        const auto frame = reader_.next();
        if (!frame) {
            if (!reader_.mistake().empty()) break_off(reader_.mistake());
            break;
        }
        if (!agreed_ && !(frame->header.is_reply() && frame->header.command == Command::version)) {
            break_off(fmt::format("it sends {} before it has answered VERSION", name_of(frame->header.command)));
            break;
        }
        // While the device is reset, it changes nothing.
        if (hold && !resetting() && changes_guest(frame->header)) return {.kind = Said::Kind::held};
        const auto said = frame->header.is_reply() ? take_reply(*frame) : take_command(*frame, out);
        if (!broken_.empty()) break;
        if (said) {
            given_ = true;
            return *said;
        }
        reader_.drop();
    }
    return {};
}

std::optional<Said> Session::take_reply(const Frame& frame) {
    const Header& header = frame.header;
    const auto found = std::ranges::find(waiting_, header.id, &Waiting::id);
    if (found == waiting_.end()) {
        break_off(fmt::format("it replies to {} with id {}, which has not been sent", name_of(header.command), header.id));
        return std::nullopt;
    }
    const Waiting asked = *found;
    if (asked.command != header.command) {
        break_off(fmt::format("it replies to {} with {}", name_of(asked.command), name_of(header.command)));
        return std::nullopt;
    }
    waiting_.erase(found);
    late_in_a_row_ = 0;
    Said said{.kind = Said::Kind::reply, .id = header.id, .command = header.command};
    if (header.is_error()) {
        said.error = header.error != 0 ? header.error : static_cast<std::uint32_t>(EIO);
        const bool access = asked.command == Command::region_read || asked.command == Command::region_write;
        if (!access) {
            break_off(fmt::format("it refuses {} with error {}", name_of(asked.command), header.error));
            return std::nullopt;
        }
    } else if (asked.command == Command::version) {
        if (!take_version(frame)) return std::nullopt;
    } else {
        std::size_t size = 0;
        if (asked.command == Command::region_read) size = access_size + asked.access.count;
        if (asked.command == Command::region_write) size = access_size;
        if (frame.payload.size() != size) {
            break_off(fmt::format("its reply to {} has {} bytes of payload in place of {}", name_of(asked.command),
                                  frame.payload.size(), size));
            return std::nullopt;
        }
        if (size != 0) {
            const RegionAccess echoed{.offset = load<std::uint64_t>(frame.payload, 0),
                                      .region = load<std::uint16_t>(frame.payload, 8),
                                      .width = load<std::uint8_t>(frame.payload, 10),
                                      .count = load<std::uint32_t>(frame.payload, 12)};
            if (echoed != asked.access) {
                break_off(fmt::format("its reply to {} is for another access: its first 16 bytes differ from the command's",
                                      name_of(asked.command)));
                return std::nullopt;
            }
            said.data = frame.payload.subspan(access_size);
        }
    }
    if (asked.forgotten) return std::nullopt;
    return said;
}

bool Session::take_version(const Frame& frame) {
    const auto payload = frame.payload;
    if (payload.size() < version_size || payload.size() == version_size || payload.size() > version_size + longest_name) {
        break_off(fmt::format("its reply to VERSION has {} bytes of payload, and {} to {} are allowed", payload.size(),
                              version_size + 1, version_size + longest_name));
        return false;
    }
    const auto major = load<std::uint16_t>(payload, 0);
    const auto minor = load<std::uint16_t>(payload, 2);
    agreement_.capabilities = load<std::uint32_t>(payload, 4);
    agreement_.max_data = load<std::uint32_t>(payload, 8);
    agreement_.max_requests = load<std::uint16_t>(payload, 12);
    if (major != protocol_major || minor > protocol_minor) {
        break_off(fmt::format("it speaks version {}.{} of the protocol, and {}.{} is there", major, minor, protocol_major,
                              protocol_minor));
    } else if ((agreement_.capabilities & ~offer_.capabilities) != 0) {
        break_off(
            fmt::format("it takes capabilities {:#x}, and {:#x} are offered", agreement_.capabilities, offer_.capabilities));
    } else if (agreement_.max_data < least_data || agreement_.max_data > offer_.max_data) {
        break_off(
            fmt::format("it says max_data {}, and {} to {} are allowed", agreement_.max_data, least_data, offer_.max_data));
    } else if (agreement_.max_requests < 1 || agreement_.max_requests > most_requests) {
        break_off(fmt::format("it says max_requests {}, and 1 to {} are allowed", agreement_.max_requests, most_requests));
    } else {
        const auto name = payload.subspan(version_size);
        agreement_.name = harmless({reinterpret_cast<const char*>(name.data()), name.size()});
        reader_.set_limit(header_size + std::max<std::size_t>(4 + longest_text, access_size + agreement_.max_data));
        agreed_ = true;
    }
    return agreed_;
}

std::optional<Said> Session::take_command(const Frame& frame, Bytes& out) {
    Said said{.id = frame.header.id, .command = frame.header.command, .wants_reply = frame.header.wants_reply()};
    if (const int error = check(frame, said); error != 0) {
        refuse(out, said, error);
        return std::nullopt;
    }
    if (said.kind == Said::Kind::interrupt && resetting()) {
        answer(out, said);
        return std::nullopt;
    }
    return said;
}

int Session::check(const Frame& frame, Said& said) const {
    switch (frame.header.command) {
        case Command::dma_read:
            said.kind = Said::Kind::memory_read;
            return check_memory(frame, said, memory_read, false);
        case Command::dma_write:
            said.kind = Said::Kind::memory_write;
            return check_memory(frame, said, memory_write, true);
        case Command::set_irq:
            if (frame.payload.size() != 8) return EINVAL;
            said.kind = Said::Kind::interrupt;
            said.line = load<std::uint32_t>(frame.payload, 0);
            said.level = load<std::uint32_t>(frame.payload, 4);
            return said.line < offer_.irqs && said.level <= 1 ? 0 : EINVAL;
        case Command::log:
            if (frame.payload.size() < 4 || frame.payload.size() > 4 + longest_text) return EINVAL;
            said.kind = Said::Kind::log;
            said.level = load<std::uint32_t>(frame.payload, 0);
            said.data = frame.payload.subspan(4);
            return said.level <= quietest_level ? 0 : EINVAL;
        default:
            return ENOTSUP;
    }
}

int Session::check_memory(const Frame& frame, Said& said, std::uint32_t capability, bool with_data) const {
    if (frame.payload.size() < access_size) return EINVAL;
    said.address = load<std::uint64_t>(frame.payload, 0);
    said.count = load<std::uint64_t>(frame.payload, 8);
    said.data = frame.payload.subspan(access_size);
    if (said.count == 0 || said.count > agreement_.max_data || said.data.size() != (with_data ? said.count : 0)) {
        return EINVAL;
    }
    if ((agreement_.capabilities & capability) == 0) return EACCES;
    return resetting() ? EBUSY : 0;
}

}  // namespace asyncvm::remote
