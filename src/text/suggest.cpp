#include "text/suggest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace asyncvm {

namespace {

/// The number of typing mistakes between two words, two swapped neighbours counted as one (optimal string alignment).
std::size_t mistakes(std::string_view a, std::string_view b) {
    std::vector<std::size_t> above_that;
    std::vector<std::size_t> above(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        above_that = above;
        above = row;
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t wrong = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + wrong});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], above_that[j - 2] + 1);
        }
    }
    return row[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
    constexpr std::size_t longest_word = 64;  // what is longer is no typing mistake, and need not be compared
    if (word.empty() || word.size() > longest_word) return {};
    std::string_view best;
    std::size_t fewest = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const auto candidate : candidates) {
        if (const auto count = mistakes(word, candidate); count < fewest) {
            fewest = count;
            best = candidate;
        }
    }
    if (!best.empty()) return best;
    const auto begins = std::ranges::find_if(candidates, [word](std::string_view c) { return c.starts_with(word); });
    return begins == candidates.end() ? std::string_view() : *begins;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
    if (const auto near = nearest(word, candidates); !near.empty()) return fmt::format(" (did you mean {}?)", near);
    return fmt::format(" (there are: {})", fmt::join(candidates, ", "));
}

}  // namespace asyncvm
