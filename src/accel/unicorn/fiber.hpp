/// A function with a stack of its own that can stop in its middle and go on later.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace asyncvm::unicorn {

/// resume() may come from different threads, one after the other. Nothing may be thrown through either switch: between the
/// two there are frames of a C library. Each switch is announced to the sanitizers.
class Fiber {
public:
    /// The body starts at the first resume().
    explicit Fiber(std::function<void()> body);
    /// The body must have returned, or never started, or have been left.
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    /// Runs the body until it suspends itself or returns. The first call throws std::bad_alloc without room for the stack.
    void resume();

    /// Whether resume() has been called.
    [[nodiscard]] bool made() const noexcept { return made_; }

    /// Inside the body: back to the caller of resume().
    void suspend();

    /// The fiber whose body the calling thread runs; null outside of all. Async-signal-safe.
    [[nodiscard]] static Fiber* current() noexcept;

    /// Inside the body: back to the caller of resume(), for good. Nothing on the fiber's stack is destroyed, and the stack
    /// stays as long as the process. `why` is a literal.
    [[noreturn]] void leave(const char* why) noexcept;

    /// What leave() was called with; null if it was not. Then resume() may not be called any more.
    [[nodiscard]] const char* left() const noexcept { return left_; }

    /// Where the stack begins that grows down from here: a multiple of 16. While it is made().
    [[nodiscard]] std::uintptr_t stack_top() const noexcept {
        return reinterpret_cast<std::uintptr_t>(stack_.sp) & ~std::uintptr_t{15};
    }

private:
    /// Translating a block of guest code needs some tens of KiB. Pages that are never touched cost nothing.
    static constexpr std::size_t stack_size = 512 * 1024;

    void make();
    boost::context::fiber start(boost::context::fiber&& caller);
    void before_resume() noexcept;
    void after_resume() noexcept;
    void before_suspend(void** fake_stack) noexcept;
    void after_entry(void* fake_stack) noexcept;

    std::function<void()> body_;
    boost::context::protected_fixedsize_stack allocator_{stack_size};
    boost::context::stack_context stack_;
    bool made_ = false;
    const char* left_ = nullptr;
    boost::context::fiber inside_;
    boost::context::fiber caller_;

    // AddressSanitizer's view of the two stacks, ThreadSanitizer's of the two fibers. Unused without them.
    [[maybe_unused]] void* fake_stack_ = nullptr;
    [[maybe_unused]] const void* caller_bottom_ = nullptr;
    [[maybe_unused]] std::size_t caller_size_ = 0;
    [[maybe_unused]] void* tsan_inside_ = nullptr;
    [[maybe_unused]] void* tsan_caller_ = nullptr;
};

}  // namespace asyncvm::unicorn
