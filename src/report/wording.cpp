#include "report/wording.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace asyncvm {
namespace {

bool printable(std::uint8_t byte) noexcept { return byte >= 0x20 && byte < 0x7f; }

std::string one_value(const ExitHistory::Record& record) {
    std::string text = fmt::format("{:#0{}x}", record.data, 2 + 2 * record.valid);
    if (record.valid == 1 && printable(static_cast<std::uint8_t>(record.data))) {
        text += fmt::format(" '{}'", static_cast<char>(record.data));
    }
    return text;
}

/// `12 x 1 byte: 48 65 6c 6c 6f 2c 20 77 ... "Hello, w"`.
std::string many_values(const ExitHistory::Record& record) {
    std::array<std::byte, sizeof record.data> bytes{};
    std::memcpy(bytes.data(), &record.data, bytes.size());
    const auto known = std::span<const std::byte>(bytes).first(record.valid);
    std::string text =
        fmt::format("{} x {} byte{}: {}", record.count, record.size, record.size == 1 ? "" : "s", hex_bytes(known));
    if (std::uint64_t{record.count} * record.size > record.valid) text += " ...";
    if (record.size != 1) return text;
    text += " \"";
    for (const std::byte byte : known) {
        const auto value = std::to_integer<std::uint8_t>(byte);
        text += printable(value) ? static_cast<char>(value) : '.';
    }
    return text + '"';
}

std::string values(const ExitHistory::Record& record) {
    if (record.valid == 0) return "(no answer yet)";
    return record.count == 1 ? one_value(record) : many_values(record);
}

std::string transfer(const ExitHistory::Record& record, const DeviceName& device_name) {
    const bool port = record.kind == ExitHistory::Kind::port;
    const bool read = record.direction == Direction::read;
    const char* const verb = port ? (read ? "in" : "out") : (read ? "read" : "write");
    std::string text = fmt::format("{} {:#x} {} {}", verb, record.address, read ? "->" : "<-", values(record));
    if (device_name) {
        const std::string name = device_name(port ? Space::port : Space::memory, record.address);
        text += fmt::format(" ({})", name.empty() ? "no device" : name);
    }
    return text;
}

std::string what(const ExitHistory::Record& record, const DeviceName& device_name) {
    switch (record.kind) {
        case ExitHistory::Kind::port:
        case ExitHistory::Kind::mmio:
            return transfer(record, device_name);
        case ExitHistory::Kind::halted:
            return "hlt";
        case ExitHistory::Kind::shut_down:
            return "triple fault";
        case ExitHistory::Kind::debug:
            return "debug exit";
        case ExitHistory::Kind::system_event:
            return "system event";
        case ExitHistory::Kind::failure:
            return "failure";
    }
    return "exit";
}

}  // namespace

std::string describe(const ExitHistory::Record& record, const DeviceName& device_name) {
    auto text = fmt::format("{} at rip {:#x}", what(record, device_name), record.rip);
    if (record.times > 1) text += fmt::format(", {} times", record.times);
    return text;
}

std::string hex_bytes(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte byte : bytes) fmt::format_to(std::back_inserter(text), "{}{:02x}", text.empty() ? "" : " ", byte);
    return text;
}

}  // namespace asyncvm
