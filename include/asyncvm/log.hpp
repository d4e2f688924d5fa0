/// How the library reports to a person: one line, without the program's name.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <concepts>
#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace asyncvm {

/// Takes one line at a time, without a newline at its end, on any thread. A Log that was made without a function drops its
/// lines.
class Log {
public:
    Log() = default;

    /// `sink` must not throw. An empty std::function is the same as no function.
    template <typename Sink>
    requires(std::invocable<const Sink&, std::string_view> && !std::same_as<std::remove_cvref_t<Sink>, Log>) Log(Sink sink)
        : sink_(std::move(sink)) {}  // implicit: a lambda is a log

    /// Whether somebody sees the lines.
    explicit operator bool() const noexcept { return static_cast<bool>(sink_); }

    void operator()(std::string_view line) const {
        if (sink_) sink_(line);
    }

private:
    std::function<void(std::string_view)> sink_;
};

}  // namespace asyncvm
