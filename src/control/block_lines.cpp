#include "control/block_lines.hpp"

#include "control/block_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace asyncvm::control {

namespace {

/// As QEMU has it: "1 MiB", "1.5 GiB".
std::string size_text(std::uint64_t bytes) {
    constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
    return fmt::format("{:.3g} {}", value, units[unit]);
}

std::string disk_as_text(const std::vector<Disk>& disks, const Disk& disk, bool verbose) {
    const DiskSpec& spec = disk.drive->spec();
    const auto& properties = disk.drive->properties();
    std::string text =
        fmt::format("{} ({}): {} (raw{})\r\n    Attached to:      {}\r\n    Cache mode:       writeback{}{}\r\n", disk.label,
                    node_name(disk), spec.source, properties.read_only ? ", read-only" : "", device_path(disks, disk),
                    spec.direct ? ", direct" : "", spec.snapshot ? ", ignore flushes" : "");
    if (spec.snapshot) text += fmt::format("    Backing file:     {} (chain depth: 1)\r\n", spec.source);
    if (!verbose) return text;
    text += fmt::format("\r\nImages:\r\nimage: {}\r\nfile format: raw\r\nvirtual size: {} ({} bytes)\r\n", spec.source,
                        size_text(properties.size), properties.size);
    if (const auto allocated = disk.drive->allocated()) text += fmt::format("disk size: {}\r\n", size_text(*allocated));
    return text;
}

}  // namespace

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    for (;;) {
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        if (line.empty()) return words;
        const auto end = std::min(line.find(' '), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

std::optional<std::uint64_t> parse_human_size(std::string_view text) {
    constexpr std::string_view units = "bkmgtpe";
    constexpr double most = 9e18;
    double value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc() || text.front() == '-') return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    std::size_t unit = units.find('m');
    if (!text.empty()) {
        const char letter = static_cast<char>(text.front() | 0x20);
        unit = units.find(letter);
        if (text.size() > 1 || unit == units.npos) return std::nullopt;
    }
    for (; unit > 0; --unit) value *= 1024;
    if (!(value >= 0 && value < most)) return std::nullopt;
    return static_cast<std::uint64_t>(value);
}

Json resize_arguments(const std::vector<std::string_view>& words) {
    if (words.size() < 2) throw HumanError("block_resize: block device name expected");
    const auto size = words.size() == 3 ? parse_human_size(words[2]) : std::nullopt;
    if (!size) throw HumanError("invalid size");
    return {{"device", words[1]}, {"size", *size}};
}

Json change_arguments(const std::vector<std::string_view>& words) {
    constexpr std::size_t most_words = 5;
    auto rest = words;
    const auto forced = std::ranges::find(rest, "-f");
    const bool force = forced != rest.end();
    if (force) rest.erase(forced);
    if (rest.size() < 2) throw HumanError("change: block device name expected");
    if (rest.size() < 3) throw HumanError("change: filename expected");
    if (rest.size() > most_words) throw HumanError("change: extraneous characters at the end of line");
    Json arguments{{"device", rest[1]}, {"filename", rest[2]}};
    if (rest.size() > 3) arguments["format"] = rest[3];
    if (rest.size() > 4) arguments["read-only-mode"] = rest[4];
    if (force) arguments["force"] = true;
    return arguments;
}

std::string disks_as_text(const std::vector<Disk>& disks, const std::vector<std::string_view>& words) {
    const bool verbose = std::ranges::find(words, "-v") != words.end();
    const bool named = words.size() > (verbose ? 3U : 2U);
    std::string text;
    for (const Disk& disk : disks) {
        if (named && words.back() != disk.label) continue;
        if (!text.empty()) text += "\r\n";
        text += disk_as_text(disks, disk, verbose);
    }
    return text;
}

std::string counts_as_text(const std::vector<Disk>& disks) {
    std::string text;
    for (const Disk& disk : disks) {
        const DriveCounts& counts = disk.drive->counts();
        text += fmt::format(
            "{}: rd_bytes={} wr_bytes={} rd_operations={} wr_operations={} flush_operations={} wr_total_time_ns={} "
            "rd_total_time_ns={} flush_total_time_ns={} rd_merged=0 wr_merged=0\r\n",
            disk.label, counts.read.bytes, counts.write.bytes, counts.read.done, counts.write.done, counts.flush.done,
            counts.write.time.count(), counts.read.time.count(), counts.flush.time.count());
    }
    return text;
}

}  // namespace asyncvm::control
