#include "record/recording.hpp"

#include <asyncvm/error.hpp>

#include "os/unique_fd.hpp"
#include "text/errno_text.hpp"
#include "text/parse.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <optional>

namespace asyncvm::record {

namespace {

constexpr std::string_view magic = "asyncvm-recording 1";

std::string_view word(Space space) noexcept { return space == Space::port ? "port" : "memory"; }

constexpr bool is_access_size(std::uint64_t size) noexcept { return size == 1 || size == 2 || size == 4 || size == 8; }

/// Names and messages come from devices.
std::string on_one_line(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    return text;
}

/// Takes a text apart, line by line and word by word.
class Parser {
public:
    Parser(std::string_view text, std::string_view name) : rest_(text), name_(name) {}

    /// The name alone, as soon as it has come.
    std::string device() {
        parse_magic();
        while (result_.header.device.empty() && next_line() && parse_header_line()) {
        }
        check_device();
        return std::move(result_.header.device);
    }

    Recording parse() {
        parse_magic();
        bool more = next_line();
        for (; more && parse_header_line(); more = next_line()) {
        }
        check_device();
        if (result_.header.places.empty()) fail("the line 'place …' is missing");
        for (; more; more = next_line()) parse_event();
        result_.lines = number_;
        return std::move(result_);
    }

private:
    static constexpr std::size_t most_places = 64;
    static constexpr std::uint64_t most_doorbells = 4096;

    [[noreturn]] void fail(std::string_view what) const {
        throw Error(ErrorKind::usage, fmt::format("{}:{}: {}", name_, std::max<std::size_t>(number_, 1), what));
    }

    /// The next line that is neither empty nor a comment.
    bool next_line() {
        for (;;) {
            const auto end = rest_.find('\n');
            if (end == rest_.npos) return false;
            line_ = rest_.substr(0, end);
            rest_.remove_prefix(end + 1);
            ++number_;
            if (line_.ends_with('\r')) line_.remove_suffix(1);
            if (line_.empty() || line_.front() == '#') continue;
            words_ = line_;
            return true;
        }
    }

    std::string_view next_word() {
        const auto start = words_.find_first_not_of(' ');
        if (start == words_.npos) return words_ = {};
        words_.remove_prefix(start);
        const auto found = words_.substr(0, words_.find(' '));
        words_.remove_prefix(found.size());
        return found;
    }

    std::string rest_of_line() {
        const auto rest = words_.substr(std::min(words_.find_first_not_of(' '), words_.size()));
        words_ = {};
        return std::string(rest);
    }

    std::uint64_t next_number(std::string_view what, std::uint64_t largest) {
        const auto found = next_word();
        const auto number = parse_number(found);
        if (!number || *number > largest) fail(fmt::format("{} is a number up to {:#x}, not '{}'", what, largest, found));
        return *number;
    }

    Space next_space() {
        const auto found = next_word();
        if (found == "port") return Space::port;
        if (found == "memory") return Space::memory;
        fail(fmt::format("an address is of 'port' or of 'memory', not of '{}'", found));
    }

    std::uint8_t next_size() {
        const auto size = next_number("a size", 8);
        if (!is_access_size(size)) fail(fmt::format("a size is 1, 2, 4 or 8, not {}", size));
        return static_cast<std::uint8_t>(size);
    }

    void expect_end() {
        if (const auto found = next_word(); !found.empty()) fail(fmt::format("'{}' is too much", found));
    }

    void parse_magic() {
        if (next_line() && line_ == magic) return;
        fail(fmt::format("this is no recording: the first line of one is '{}'", magic));
    }

    void check_device() const {
        if (result_.header.device.empty()) fail("the line 'device NAME' is missing");
    }

    /// Whether it is one.
    bool parse_header_line() {
        Header& header = result_.header;
        const auto first = next_word();
        if (first == "device") {
            header.device = rest_of_line();
            if (header.device.empty()) fail("a device's name is missing");
        } else if (first == "width") {
            header.max_access_size = next_size();
        } else if (first == "place") {
            header.places.push_back(next_place());
            if (header.places.size() > most_places) fail(fmt::format("there are {} places at most", most_places));
        } else if (first == "doorbell") {
            header.doorbells.push_back(next_doorbell());
            if (header.doorbells.size() > most_doorbells)
                fail(fmt::format("there are {} doorbells at most", most_doorbells));
        } else {
            return false;
        }
        expect_end();
        return true;
    }

    Place next_place() {
        Place place{.space = next_space(), .range = {}};
        const std::uint64_t last = place.space == Space::port ? 0xffff : ~std::uint64_t{0};
        place.range.first = next_number("an address", last);
        place.range.size = next_number("a size", last);
        if (place.range.size == 0 || place.range.size - 1 > last - place.range.first) {
            fail(fmt::format("{} bytes at {:#x} are too few or too many", place.range.size, place.range.first));
        }
        const auto whole = next_word();
        place.range.whole = whole == "whole";
        if (!whole.empty() && !place.range.whole) fail(fmt::format("'{}' is too much", whole));
        return place;
    }

    Doorbell next_doorbell() {
        if (next_number("a doorbell", most_doorbells) != result_.header.doorbells.size()) {
            fail("doorbells are numbered from 0, one after the other");
        }
        Doorbell doorbell;
        doorbell.offset = next_number("an offset", ~std::uint64_t{0});
        doorbell.size = next_size();
        if (words_.find_first_not_of(' ') != words_.npos) doorbell.data = next_number("data", all_ones(doorbell.size));
        return doorbell;
    }

    void parse_event() {
        words_ = line_;
        Event event;
        event.line = number_;
        event.at = std::chrono::nanoseconds(next_number("a time in nanoseconds", std::uint64_t{1} << 62));
        const auto kind = next_word();
        if (kind == "read" || kind == "write") {
            parse_access(event, kind == "write");
        } else if (kind == "done") {
            event.kind = Event::Kind::done;
            if (words_.find_first_not_of(' ') != words_.npos) {
                event.value = next_number("an answer", ~std::uint64_t{0});
                event.size = 8;
            }
        } else if (kind == "failed") {
            event.kind = Event::Kind::failed;
            event.text = rest_of_line();
        } else if (kind == "cancelled") {
            event.kind = Event::Kind::cancelled;
        } else if (kind == "irq") {
            event.kind = Event::Kind::irq;
            event.number = static_cast<unsigned>(next_number("an interrupt line", 23));
            const auto level = next_word();
            if (level != "high" && level != "low") fail(fmt::format("a line is 'high' or 'low', not '{}'", level));
            event.level = level == "high";
        } else if (kind == "msi") {
            event.kind = Event::Kind::msi;
            event.address = next_number("an address", ~std::uint64_t{0});
            event.value = next_number("a message", 0xffff'ffff);
        } else if (kind == "ring") {
            event.kind = Event::Kind::ring;
            event.number = static_cast<unsigned>(next_number("a doorbell", most_doorbells));
            if (event.number >= result_.header.doorbells.size()) fail("there is no such doorbell");
        } else if (kind == "reset") {
            event.kind = Event::Kind::reset;
        } else {
            fail(fmt::format("'{}' is no event", kind));
        }
        expect_end();
        result_.events.push_back(std::move(event));
    }

    void parse_access(Event& event, bool write) {
        event.kind = write ? Event::Kind::write : Event::Kind::read;
        event.space = next_space();
        event.address = next_number("an address", ~std::uint64_t{0});
        event.size = next_size();
        if (write) event.value = next_number("the data", all_ones(event.size));
        const auto cpu = next_word();
        if (cpu.empty()) return;
        if (cpu != "cpu") fail(fmt::format("'{}' is too much", cpu));
        event.cpu = static_cast<unsigned>(next_number("a vCPU", 0xffff));
    }

    std::string_view rest_;
    std::string_view name_;
    std::string_view line_;
    std::string_view words_;  // of the line, those that have not been looked at
    std::size_t number_ = 0;
    Recording result_;
};

/// As much of it as `most` bytes, or a little more. Throws Error(usage).
std::string read_file(const std::string& path, std::size_t most) {
    const auto refuse = [&path](const std::string& why) {
        throw Error(ErrorKind::usage, fmt::format("cannot read the recording {}: {}", path, why));
    };
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.valid()) refuse(reason(errno));
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) refuse(reason(errno));
    if (!S_ISREG(status.st_mode)) refuse("it is no file");
    std::string text;
    std::array<char, 65536> block;
    while (text.size() < most) {
        const auto size = ::read(file.get(), block.data(), block.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) refuse(reason(errno));
        if (size == 0) break;
        text.append(block.data(), static_cast<std::size_t>(size));
    }
    return text;
}

}  // namespace

std::string format(const Header& header) {
    std::string text = fmt::format("{}\ndevice {}\nwidth {}\n", magic, on_one_line(header.device), header.max_access_size);
    const auto out = std::back_inserter(text);
    for (const auto& [space, range] : header.places) {
        fmt::format_to(out, "place {} {:#x} {}{}\n", word(space), range.first, range.size, range.whole ? " whole" : "");
    }
    for (std::size_t index = 0; const auto& doorbell : header.doorbells) {
        fmt::format_to(out, "doorbell {} {:#x} {}", index++, doorbell.offset, doorbell.size);
        if (doorbell.data) fmt::format_to(out, " {:#x}", *doorbell.data);
        text += '\n';
    }
    return text;
}

std::string describe(const Event& event) {
    switch (event.kind) {
        case Event::Kind::read:
            return fmt::format("read {} {:#x} {}", word(event.space), event.address, event.size);
        case Event::Kind::write:
            return fmt::format("write {} {:#x} {} {:#x}", word(event.space), event.address, event.size, event.value);
        case Event::Kind::done:
            return event.size == 0 ? "done" : fmt::format("done {:#x}", event.value);
        case Event::Kind::failed: {
            return on_one_line(fmt::format("failed{}{}", event.text.empty() ? "" : " ", event.text));
        }
        case Event::Kind::cancelled:
            return "cancelled";
        case Event::Kind::irq:
            return fmt::format("irq {} {}", event.number, event.level ? "high" : "low");
        case Event::Kind::msi:
            return fmt::format("msi {:#x} {:#x}", event.address, event.value);
        case Event::Kind::ring:
            return fmt::format("ring {}", event.number);
        case Event::Kind::reset:
            break;
    }
    return "reset";
}

std::string format(const Event& event) {
    const auto cpu = event.is_access() && event.cpu != 0 ? fmt::format(" cpu {}", event.cpu) : std::string();
    return fmt::format("{} {}{}\n", event.at.count(), describe(event), cpu);
}

Event event_of(const Access& access, bool write) noexcept {
    Event event;
    event.kind = write ? Event::Kind::write : Event::Kind::read;
    event.space = access.space;
    event.size = access.size;
    event.cpu = access.cpu;
    event.address = access.address;
    if (write) event.value = access.data & all_ones(access.size);
    return event;
}

Recording parse(std::string_view text, std::string_view name) { return Parser(text, name).parse(); }

Recording load(const std::string& path) { return parse(read_file(path, std::string().max_size()), path); }

std::string recorded_device(const std::string& path) {
    constexpr std::size_t enough = 65536;
    return Parser(read_file(path, enough), path).device();
}

}  // namespace asyncvm::record
