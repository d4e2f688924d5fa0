/// A recording against what a guest does: what is answered, which interrupts come, where they differ. Pure.
#pragma once

#include "record/recording.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace asyncvm::record {

/// Not for several threads.
class Replay {
public:
    explicit Replay(Recording recording);

    /// An interrupt of the recording, and how long after what led to it.
    struct Interrupt {
        std::chrono::nanoseconds after{};
        Event event;
    };

    /// The first thing that is not as recorded.
    struct Difference {
        std::size_t line = 0;  ///< of the recording
        std::string expected;  ///< in the words of the recording
        std::string found;
        std::string then;  ///< what happens
    };

    struct Step {
        std::uint64_t answer = 0;          ///< of a read
        std::chrono::nanoseconds delay{};  ///< from the access to its answer
        std::vector<Interrupt> interrupts{};
        std::optional<Difference> difference{};
    };

    /// What comes before the guest does anything.
    [[nodiscard]] Step start();

    /// The guest has made an access. One that is not the next of the recording is looked for among the next ones, and the
    /// recording goes on behind it; what it has is none of them reads all-ones.
    [[nodiscard]] Step access(const Access& access, bool write);

    /// The machine has been reset: the recording goes on behind its next reset, or starts again if it has none.
    [[nodiscard]] Step reset();

    [[nodiscard]] const Header& header() const noexcept { return recording_.header; }
    [[nodiscard]] const std::vector<Event>& events() const noexcept { return recording_.events; }

    /// What should come next; nothing at the end of the recording.
    [[nodiscard]] const Event* next() const noexcept;

private:
    /// How many events are looked at for an access that comes too early.
    static constexpr std::size_t far = 4096;

    void advance(Step& step, std::chrono::nanoseconds since);
    void take(Step& step);
    void answer(Step& step) const;
    void skip_to(std::size_t place, Step& step);
    void take_rings(Step& step);
    [[nodiscard]] std::optional<std::size_t> doorbell_of(const Event& access) const noexcept;
    [[nodiscard]] Difference difference(std::string found) const;

    Recording recording_;
    std::size_t place_ = 0;   ///< of the event that is next
    std::vector<bool> rung_;  ///< doorbells that the guest has rung, and the recording has not
};

}  // namespace asyncvm::record
