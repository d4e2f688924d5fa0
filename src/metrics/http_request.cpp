#include "metrics/http_request.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::metrics {

namespace {

constexpr std::string_view blanks = " \t";

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string in_small_letters(std::string_view text) {
    std::string small(text);
    std::ranges::transform(small, small.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return small;
}

/// Takes what is before the next `end` from the front of `rest`; all of it if there is none.
std::string_view take_until(std::string_view& rest, char end) {
    const auto at = rest.find(end);
    const auto part = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    return part;
}

/// A line without its end, which may be LF alone.
std::string_view take_line(std::string_view& rest) {
    auto line = take_until(rest, '\n');
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

/// Whether a media range has a quality of 0: "q=0", "q=0.00".
bool is_refused(std::string_view parameters) {
    while (!parameters.empty()) {
        const auto parameter = in_small_letters(trimmed(take_until(parameters, ';')));
        if (parameter.starts_with("q=") && parameter.find_first_not_of("0.", 2) == std::string::npos) return true;
    }
    return false;
}

}  // namespace

RequestHead::State RequestHead::feed(std::string_view bytes) {
    text_ += bytes.substr(0, longest + 1 - std::min(text_.size(), longest + 1));
    std::string_view rest = text_;
    while (rest.find('\n') != std::string_view::npos) {
        const bool first = rest.size() == text_.size();
        if (take_line(rest).empty() && !first) {
            end_ = text_.size() - rest.size();
            return State::whole;
        }
    }
    return text_.size() > longest ? State::too_long : State::partial;
}

std::string_view RequestHead::word(unsigned index) const noexcept {
    std::string_view rest = text_;
    std::string_view line = take_line(rest);
    for (; index > 0; --index) take_until(line, ' ');
    return take_until(line, ' ');
}

std::string RequestHead::field(std::string_view name) const {
    std::string_view rest = std::string_view(text_).substr(0, end_);
    take_line(rest);
    std::string value;
    while (!rest.empty()) {
        auto line = take_line(rest);
        const auto key = in_small_letters(take_until(line, ':'));
        // Several of them are one list.
        if (key == name) value += fmt::format("{}{}", value.empty() ? "" : ",", trimmed(line));
    }
    return value;
}

Format wanted_format(std::string_view accept) {
    while (!accept.empty()) {
        auto parameters = take_until(accept, ',');
        const auto type = in_small_letters(trimmed(take_until(parameters, ';')));
        if (type == "application/openmetrics-text" && !is_refused(parameters)) return Format::open_metrics;
    }
    return Format::classic;
}

std::string answer(std::string_view status, std::string_view type, std::string_view body, bool head_only) {
    return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", status, type,
                       body.size(), head_only ? "" : body);
}

}  // namespace asyncvm::metrics
