/// "Did you mean ...?" for words that a person typed.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace asyncvm {

/// The candidate nearest to `word`, or an empty view if none is near: at most one typing mistake (a letter wrong, missing,
/// too many or two swapped) in every three letters, and at least one; or else the one that begins with `word`.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// For the end of an error message: ` (did you mean counter?)`, or if nothing is near ` (there are: counter, exit)`.
[[nodiscard]] std::string suggestion(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace asyncvm
