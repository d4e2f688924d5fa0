/// What dprintfs have printed, until somebody takes it. Pure but for its mutex: any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace asyncvm::gdb {

class Printed {
public:
    static constexpr std::size_t most = 1 << 20;  ///< bytes that wait; what comes then is dropped, and the gap is told

    /// As a whole, or not at all. Returns whether nothing waited before: whoever takes it should look.
    bool add(std::string_view text);
    /// The oldest, `limit` bytes at most and more than none unless nothing waits.
    [[nodiscard]] std::string take(std::size_t limit);
    [[nodiscard]] bool empty() const;

private:
    void tell_gap();

    mutable std::mutex mutex_;
    std::string text_;
    std::size_t taken_ = 0;      ///< of text_
    char last_ = '\n';           ///< of all that has been added
    std::uint64_t dropped_ = 0;  ///< since then
    bool full_ = false;          ///< until half of it is taken
};

}  // namespace asyncvm::gdb
