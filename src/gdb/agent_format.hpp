/// The format of a dprintf, with the conversions of gdb's own printf (gdb's manual, "Output"). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gdb/agent_context.hpp"

namespace asyncvm::gdb {

class AgentFormat {
public:
    static constexpr unsigned widest = 1000;           ///< of a width and of a precision: characters
    static constexpr std::size_t longest_text = 1024;  ///< of a %s without a precision: bytes

    /// As a person types it between the quotes, with its backslashes. Any bytes.
    explicit AgentFormat(std::string_view typed);

    /// Why it can't be printed; empty: it can.
    [[nodiscard]] const std::string& flaw() const noexcept { return flaw_; }
    /// How many values it takes.
    [[nodiscard]] std::size_t count() const noexcept;

    /// `values`: count() of them. Memory that is not there is told in the text, as gdb does.
    void print(std::span<const std::uint64_t> values, AgentContext& context, std::string& to) const;

private:
    struct Conversion {
        bool left = false;   ///< '-'
        bool zeros = false;  ///< '0'
        bool plus = false;
        bool space = false;
        bool alternate = false;  ///< '#'
        std::size_t width = 0;
        std::optional<std::size_t> precision{};
        /// As C's lengths: 16 bits, int, long, long long; size_t is a long here.
        enum class Length : std::uint8_t { half, usual, word, longest } length = Length::usual;
        char letter = 0;
    };
    struct Piece {
        std::string text;                        ///< in front of the conversion
        std::optional<Conversion> conversion{};  ///< nothing: the end
    };

    void parse(std::string_view text);
    [[nodiscard]] Conversion parse_conversion(std::string_view& text);
    void refuse_modifiers(const Conversion& conversion, char modifier);
    [[nodiscard]] static std::string number(const Conversion& how, std::uint64_t value, unsigned word_bits);
    [[nodiscard]] static std::string text_at(const Conversion& how, std::uint64_t address, AgentContext& context);

    std::vector<Piece> pieces_;
    std::string flaw_;
};

}  // namespace asyncvm::gdb
