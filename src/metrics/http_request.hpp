/// As much of HTTP/1.1 as a scraper needs: a request's head, and an answer. Pure.
#pragma once

#include "metrics/exposition.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace asyncvm::metrics {

/// Gets bytes until the head of a request is whole.
class RequestHead {
public:
    static constexpr std::size_t longest = 16 << 10;  ///< bytes

    enum class State : std::uint8_t {
        partial,
        whole,
        too_long,
    };

    State feed(std::string_view bytes);

    /// The words of the first line; empty if it is none. When whole.
    [[nodiscard]] std::string_view method() const noexcept { return word(0); }
    [[nodiscard]] std::string_view target() const noexcept { return word(1); }
    [[nodiscard]] bool is_http() const noexcept { return word(2).starts_with("HTTP/1."); }
    /// A field's value, without the blanks around it; empty if there is none. `name`: in small letters.
    [[nodiscard]] std::string field(std::string_view name) const;

private:
    [[nodiscard]] std::string_view word(unsigned index) const noexcept;

    std::string text_;
    std::size_t end_ = std::string::npos;  ///< behind the last field
};

/// The format that an Accept field asks for: OpenMetrics if it is named without being refused (q=0).
[[nodiscard]] Format wanted_format(std::string_view accept);

/// "200 OK", ... `head_only`: without the body, as HEAD asks. The connection ends behind it.
[[nodiscard]] std::string answer(std::string_view status, std::string_view type, std::string_view body,
                                 bool head_only = false);

}  // namespace asyncvm::metrics
