/// The format, all numbers unsigned LEB128:
///
///     "AVMS" FORMAT, then for each object: NAME VERSION { NAME VALUE }... END
///
/// A name is its length and its characters; END is the length 0. A value begins with a letter that says what it is: `u` and
/// a number, `i` and a number in zigzag order, `b` and a length and bytes, `?` and 0 or 1 and the value if there is one, `[`
/// and a count and so many values, `{` and fields up to END.
#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace asyncvm {

namespace {

constexpr std::array header{std::byte{'A'}, std::byte{'V'}, std::byte{'M'}, std::byte{'S'}, std::byte{1}};

/// For a message: what a damaged file holds must not reach a terminal as it is.
std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 40;
    std::string shown(text.substr(0, longest));
    for (char& c : shown) {
        if (c < ' ' || c > '~') c = '?';
    }
    return text.size() > longest ? shown + "..." : shown;
}

}  // namespace

StateWriter::StateWriter() : bytes_(header.begin(), header.end()) {}

void StateWriter::begin(std::string_view name, unsigned version) {
    put_text(name);
    put_number(version);
    version_ = version;
}

void StateWriter::put_text(std::string_view text) {
    put_number(text.size());
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void StateWriter::put_tag(char tag) { bytes_.push_back(static_cast<std::byte>(tag)); }

void StateWriter::put_number(std::uint64_t number) {
    for (; number >= 0x80; number >>= 7U) bytes_.push_back(static_cast<std::byte>(number | 0x80U));
    bytes_.push_back(static_cast<std::byte>(number));
}

void StateWriter::put_unsigned(std::uint64_t value) { put_count('u', value); }

void StateWriter::put_signed(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    put_count('i', (bits << 1U) ^ (value < 0 ? ~std::uint64_t{0} : 0));
}

void StateWriter::put_count(char tag, std::uint64_t count) {
    put_tag(tag);
    put_number(count);
}

void StateWriter::put_bytes(std::span<const std::byte> bytes) {
    put_count('b', bytes.size());
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void StateWriter::put_end() { put_number(0); }

StateReader::StateReader(std::span<const std::byte> bytes) : rest_(bytes) {
    if (bytes.size() < header.size() || !std::ranges::equal(bytes.first(header.size() - 1), std::span(header).first<4>())) {
        throw Error(ErrorKind::usage, "this is no saved state: it does not begin with AVMS");
    }
    if (const auto format = bytes[header.size() - 1]; format != header.back()) {
        throw Error(ErrorKind::usage, fmt::format("the saved state has format {}, and only format {} is known",
                                                  std::to_integer<int>(format), std::to_integer<int>(header.back())));
    }
    rest_ = bytes.subspan(header.size());
}

std::string_view StateReader::next() {
    if (rest_.empty()) return {};
    const auto here = rest_;
    object_ = field_ = {};
    const auto name = get_text();
    rest_ = here;
    return name;
}

void StateReader::begin(std::string_view name, unsigned newest) {
    object_ = name;
    field_ = {};
    if (rest_.empty()) fail("is missing");
    const auto found = get_text();
    if (found != name) fail(fmt::format("is missing: here is the state of {}", quoted(found)));
    const auto version = get_number();
    if (version == 0 || version > newest) {
        fail(fmt::format("has version {}, and only versions up to {} are known", version, newest));
    }
    version_ = static_cast<unsigned>(version);
}

void StateReader::expect_field(std::string_view name) {
    field_ = name;
    const auto found = get_text();
    if (found.empty()) fail("is missing");
    if (found != name) fail(fmt::format("is missing: here is {}", quoted(found)));
}

void StateReader::expect_tag(char tag) {
    const auto found = std::to_integer<char>(take(1).front());
    if (found != tag) fail("is of another kind");
}

void StateReader::expect_end() {
    const auto found = get_text();
    if (found.empty()) return;
    field_ = {};
    fail(fmt::format("has a field that is not known: {}", quoted(found)));
}

std::string_view StateReader::get_text() {
    const auto text = take(get_number());
    return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::uint64_t StateReader::get_number() {
    std::uint64_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
        const auto byte = std::to_integer<std::uint64_t>(take(1).front());
        if (shift == 63 && byte > 1) fail("has a number of more than 64 bits");
        number |= (byte & 0x7fU) << shift;
        if ((byte & 0x80U) == 0) return number;
    }
}

std::uint64_t StateReader::get_unsigned(std::uint64_t largest) { return get_count('u', largest); }

std::int64_t StateReader::get_signed(std::int64_t smallest, std::int64_t largest) {
    const auto zigzag = get_count('i', ~std::uint64_t{0});
    const auto value = static_cast<std::int64_t>((zigzag >> 1U) ^ ((zigzag & 1U) != 0 ? ~std::uint64_t{0} : 0));
    if (value < smallest || value > largest) fail("is out of range");
    return value;
}

std::uint64_t StateReader::get_count(char tag, std::uint64_t largest) {
    expect_tag(tag);
    const auto count = get_number();
    if (count > largest) fail("is out of range");
    return count;
}

std::span<const std::byte> StateReader::get_bytes() { return take(get_count('b', ~std::uint64_t{0})); }

std::span<const std::byte> StateReader::take(std::uint64_t size) {
    if (size > rest_.size()) fail("ends early");
    const auto taken = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(taken.size());
    return taken;
}

void StateReader::copy(std::span<const std::byte> from, std::span<std::byte> to) noexcept {
    std::ranges::copy(from, to.begin());
}

void StateReader::fail(std::string_view what) const {
    const auto where = field_.empty() ? std::string() : fmt::format(", field {},", field_);
    throw Error(ErrorKind::usage, object_.empty() ? fmt::format("the saved state {}", what)
                                                  : fmt::format("the saved state of {}{} {}", object_, where, what));
}

}  // namespace asyncvm
