/// What a process changes outside of itself, put back on every way out.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace asyncvm {

/// Something to put back: a terminal's settings, a socket file. It happens once: by put_back() or the destructor, at exit(),
/// in a signal that ends the process, or in put_back_everything().
///
/// While such an object lives, signals that would end the process are handled: faults always, all others (but SIGKILL and
/// the real-time signals) where their action is the default one. Such a signal then does what it would have done. A signal
/// that somebody takes over later is theirs.
///
/// Objects are made and destroyed on any thread. There is room for 32 at a time: signals do not put the others back.
class PutBack {
public:
    /// `action` gets a copy of `state` and may only do what a signal handler may (man 7 signal-safety).
    template <typename State>
    PutBack(void (*action)(const State&) noexcept, const State& state) {
        static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= sizeof record_.state);
        std::memcpy(record_.state.data(), &state, sizeof state);
        record_.action = reinterpret_cast<void (*)()>(action);
        record_.call = [](void (*function)(), const std::byte* kept) noexcept {
            State copy;
            std::memcpy(static_cast<void*>(&copy), kept, sizeof copy);
            reinterpret_cast<void (*)(const State&) noexcept>(function)(copy);
        };
        arm();
    }
    PutBack(const PutBack&) = delete;
    PutBack& operator=(const PutBack&) = delete;
    ~PutBack();

    /// Now, if it has not happened yet.
    void put_back() noexcept;

    /// What is called, with what.
    struct Record {
        std::array<std::byte, 160> state{};
        void (*action)() = nullptr;
        void (*call)(void (*)(), const std::byte*) noexcept = nullptr;

        void act() const noexcept { call(action, state.data()); }
    };

private:
    void arm();

    Record record_;
    std::size_t place_ = 0;  ///< in the table that the signal handler looks at
    bool done_ = false;
};

/// Async-signal-safe.
void put_back_everything() noexcept;

/// Looks at a fault first and returns true if it has dealt with it: the process goes on, and nothing is put back. Runs in
/// the signal's handler.
using FaultFilter = bool (*)(int signal, siginfo_t* info, void* context) noexcept;

/// One for the process; any thread. An emulator that lives with the faults of its own code sets it.
void set_fault_filter(FaultFilter filter) noexcept;

}  // namespace asyncvm
