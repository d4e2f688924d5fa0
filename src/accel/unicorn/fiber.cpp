#include "accel/unicorn/fiber.hpp"

#include <memory>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define ASYNCVM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASYNCVM_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define ASYNCVM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ASYNCVM_TSAN 1
#endif
#endif

#ifdef ASYNCVM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ASYNCVM_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace asyncvm::unicorn {

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_(allocator_.allocate()) {
    inside_ = boost::context::fiber(std::allocator_arg, boost::context::preallocated(stack_.sp, stack_.size, stack_),
                                    allocator_, [this](boost::context::fiber&& caller) { return start(std::move(caller)); });
#ifdef ASYNCVM_TSAN
    tsan_inside_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#ifdef ASYNCVM_TSAN
    __tsan_destroy_fiber(tsan_inside_);
#endif
}

boost::context::fiber Fiber::start(boost::context::fiber&& caller) {
    caller_ = std::move(caller);
    after_entry(nullptr);
    body_();
#ifdef ASYNCVM_ASAN
    __sanitizer_start_switch_fiber(nullptr, caller_bottom_, caller_size_);
#endif
#ifdef ASYNCVM_TSAN
    __tsan_switch_to_fiber(tsan_caller_, 0);
#endif
    return std::move(caller_);
}

void Fiber::resume() {
    before_resume();
    inside_ = std::move(inside_).resume();
    after_resume();
}

void Fiber::suspend() {
    void* fake_stack = nullptr;
#ifdef ASYNCVM_ASAN
    __sanitizer_start_switch_fiber(&fake_stack, caller_bottom_, caller_size_);
#endif
#ifdef ASYNCVM_TSAN
    __tsan_switch_to_fiber(tsan_caller_, 0);
#endif
    caller_ = std::move(caller_).resume();
    after_entry(fake_stack);
}

void Fiber::before_resume() noexcept {
#ifdef ASYNCVM_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, static_cast<const char*>(stack_.sp) - stack_.size, stack_.size);
#endif
#ifdef ASYNCVM_TSAN
    tsan_caller_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(tsan_inside_, 0);
#endif
}

void Fiber::after_resume() noexcept {
#ifdef ASYNCVM_ASAN
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::after_entry([[maybe_unused]] void* fake_stack) noexcept {
#ifdef ASYNCVM_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, &caller_bottom_, &caller_size_);
#endif
}

}  // namespace asyncvm::unicorn
