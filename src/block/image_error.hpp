/// What is wrong with an image, for people who gave it as an option, and for those who gave it to a machine that runs.
#pragma once

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace asyncvm::block {

/// Its message is that of the option --disk, with the hint in parentheses.
class ImageError : public Error {
public:
    /// `hint`: what to do about it with the option.
    ImageError(std::string_view image, std::string why, std::string_view hint = {})
        : Error(ErrorKind::host, hint.empty() ? fmt::format("--disk {}: {}", image, why)
                                              : fmt::format("--disk {}: {} ({})", image, why, hint)),
          why_(std::move(why)) {}

    /// Without the option and its hint.
    [[nodiscard]] const std::string& why() const noexcept { return why_; }

private:
    std::string why_;
};

}  // namespace asyncvm::block
