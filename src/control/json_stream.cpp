#include "control/json_stream.hpp"

#include <utility>

namespace asyncvm::control {

namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
constexpr bool opens(char c) { return c == '{' || c == '['; }
constexpr bool closes(char c) { return c == '}' || c == ']'; }
constexpr bool quotes(char c) { return c == '"' || c == '\''; }

}  // namespace

JsonStream::Value JsonStream::give() {
    kind_ = Kind::none;
    depth_ = 0;
    quote_ = 0;
    escaped_ = false;
    return {.text = std::exchange(value_, {}), .error = {}};
}

JsonStream::Value JsonStream::refuse(std::string_view why) {
    Value refused = give();
    refused.text.clear();
    refused.error = why;
    return refused;
}

void JsonStream::begin(char c) { kind_ = opens(c) || closes(c) ? Kind::nested : quotes(c) ? Kind::text : Kind::word; }

/// Returns whether the value is whole with it.
bool JsonStream::take(char c) {
    if (quote_ != 0) {
        if (std::exchange(escaped_, false)) {
            // \' is no escape of JSON.
            if (c == '\'') value_.pop_back();
            value_ += c;
        } else if (c == quote_) {
            quote_ = 0;
            value_ += '"';
            return depth_ == 0;
        } else {
            escaped_ = c == '\\';
            if (c == '"') value_ += '\\';  // in single quotes
            value_ += c;
        }
        return false;
    }
    if (quotes(c)) {
        quote_ = c;
        value_ += '"';
        return false;
    }
    value_ += c;
    if (opens(c)) ++depth_;
    if (closes(c)) return depth_ == 0 || --depth_ == 0;
    return false;
}

std::optional<JsonStream::Value> JsonStream::next() {
    while (at_ < pending_.size()) {
        const char c = pending_[at_];
        if (kind_ == Kind::none) {
            if (is_blank(c)) {
                ++at_;
                continue;
            }
            begin(c);
        } else if (kind_ == Kind::word && (is_blank(c) || opens(c) || closes(c) || quotes(c))) {
            return give();
        }
        ++at_;
        if (take(c)) return give();
        if (depth_ > deepest) return refuse("JSON nesting depth limit exceeded");
        if (value_.size() > longest) return refuse("JSON token size limit exceeded");
    }
    return std::nullopt;
}

}  // namespace asyncvm::control
