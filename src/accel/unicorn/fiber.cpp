#include "accel/unicorn/fiber.hpp"

#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#ifdef ASYNCVM_FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ASYNCVM_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace asyncvm::unicorn {

namespace {

thread_local Fiber* current_fiber = nullptr;

/// For ever: what is on the fiber's stack can't be destroyed.
void keep(boost::context::fiber&& left) {
    static std::mutex mutex;
    static auto& all = *new std::vector<boost::context::fiber>;
    const std::lock_guard lock(mutex);
    all.push_back(std::move(left));
}

}  // namespace

Fiber* Fiber::current() noexcept { return current_fiber; }

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {}

Fiber::~Fiber() {
    if (left_ != nullptr) keep(std::move(inside_));
#ifdef ASYNCVM_FIBER_TSAN
    if (tsan_inside_ != nullptr) __tsan_destroy_fiber(tsan_inside_);
#endif
}

void Fiber::make() {
    stack_ = allocator_.allocate();
    made_ = true;
#ifdef ASYNCVM_FIBER_TSAN
    tsan_inside_ = __tsan_create_fiber(0);
#endif
    // The constructor goes to the new stack already, and comes back.
    before_resume();
    inside_ = boost::context::fiber(std::allocator_arg, boost::context::preallocated(stack_.sp, stack_.size, stack_),
                                    allocator_, [this](boost::context::fiber&& caller) { return start(std::move(caller)); });
    void* inside_fake_stack = nullptr;
    after_entry(inside_fake_stack);
    before_suspend(&inside_fake_stack);
    after_resume();
}

boost::context::fiber Fiber::start(boost::context::fiber&& caller) {
    caller_ = std::move(caller);
    after_entry(nullptr);
    body_();
    // With a place to keep it, although it is not wanted again: frames that are still to return use the fake stack.
    void* fake_stack = nullptr;
    before_suspend(&fake_stack);
    return std::move(caller_);
}

void Fiber::resume() {
    if (!made_) make();
    Fiber* const outer = std::exchange(current_fiber, this);
    before_resume();
    inside_ = std::move(inside_).resume();
    after_resume();
    current_fiber = outer;
}

void Fiber::leave(const char* why) noexcept {
    left_ = why;
    before_suspend(nullptr);
    caller_ = std::move(caller_).resume();
    std::abort();  // resume() was called nevertheless
}

void Fiber::suspend() {
    void* fake_stack = nullptr;
    before_suspend(&fake_stack);
    caller_ = std::move(caller_).resume();
    after_entry(fake_stack);
}

void Fiber::before_resume() noexcept {
#ifdef ASYNCVM_FIBER_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, static_cast<const char*>(stack_.sp) - stack_.size, stack_.size);
#endif
#ifdef ASYNCVM_FIBER_TSAN
    tsan_caller_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(tsan_inside_, 0);
#endif
}

void Fiber::after_resume() noexcept {
#ifdef ASYNCVM_FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::before_suspend([[maybe_unused]] void** fake_stack) noexcept {
#ifdef ASYNCVM_FIBER_ASAN
    __sanitizer_start_switch_fiber(fake_stack, caller_bottom_, caller_size_);
#endif
#ifdef ASYNCVM_FIBER_TSAN
    __tsan_switch_to_fiber(tsan_caller_, 0);
#endif
}

void Fiber::after_entry([[maybe_unused]] void* fake_stack) noexcept {
#ifdef ASYNCVM_FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, &caller_bottom_, &caller_size_);
#endif
}

}  // namespace asyncvm::unicorn
