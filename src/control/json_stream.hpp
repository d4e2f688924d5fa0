/// Cuts a stream of bytes into JSON values, as QMP has them: without separators, strings in double or single quotes. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm::control {

/// Gets bytes, cut anywhere, and gives one whole value after the other, in plain JSON. Whether a value is right is for a
/// parser to say: this only finds where it ends. One that is nested too deep, or too long, is answered with an error, and
/// what follows is read as a new value.
class JsonStream {
public:
    static constexpr std::size_t deepest = 1024;
    static constexpr std::size_t longest = 1 << 20;  ///< bytes of one value

    struct Value {
        std::string text;
        std::string_view error;  ///< not empty: there is no text, and this is why
    };

    void feed(std::string_view bytes) {
        pending_.erase(0, at_);
        at_ = 0;
        pending_ += bytes;
    }

    /// Nothing: the next value is not whole yet. A number or a word is whole when something follows it.
    [[nodiscard]] std::optional<Value> next();

private:
    enum class Kind : unsigned char { none, nested, text, word };
    void begin(char c);
    [[nodiscard]] bool take(char c);
    [[nodiscard]] Value give();
    [[nodiscard]] Value refuse(std::string_view why);

    std::string pending_;
    std::size_t at_ = 0;
    std::string value_;
    Kind kind_ = Kind::none;
    std::size_t depth_ = 0;
    char quote_ = 0;
    bool escaped_ = false;
};

}  // namespace asyncvm::control
