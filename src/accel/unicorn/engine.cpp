#include "accel/unicorn/engine.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "accel/unicorn/containment.hpp"
#include "accel/unicorn/fiber.hpp"

namespace asyncvm::unicorn {

namespace {

/// Opening and closing is rare; nothing in Unicorn's documentation says that it may be done by several threads at once.
std::mutex& opening() {
    static std::mutex mutex;
    return mutex;
}

/// Room for translated code. A vCPU's time slice, the longest that it runs between two looks at the buffer, fills less than
/// what is behind the mark, also if each instruction of it is new.
constexpr std::size_t code_buffer_size = 64 << 20;
constexpr std::size_t code_high_water = 24 << 20;

/// Runs `body` on a fiber of its own, to its end or until Unicorn gives up: returns why, or null.
const char* why_left(const std::function<void()>& body) {
    Fiber fiber(body);
    prepare_thread();
    fiber.resume();
    return fiber.left();
}

}  // namespace

void Engine::check(uc_err error, const char* what) {
    if (error == UC_ERR_OK) return;
    throw Error(ErrorKind::host, fmt::format("Unicorn: {}: {}", what, uc_strerror(error)));
}

Engine::Engine() {
    const std::lock_guard lock(opening());
    std::exception_ptr failure;
    forget_code_buffer();
    const char* const left = why_left([this, &failure] {
        try {
            open();
        } catch (...) {
            failure = std::current_exception();
        }
    });
    if (left != nullptr) throw Error(ErrorKind::host, fmt::format("cannot open an engine: {}", left));
    if (failure) std::rethrow_exception(failure);
    note_code_buffer();
}

void Engine::note_code_buffer() noexcept {
    if (const auto buffer = last_code_buffer(); !buffer.empty()) code_buffer_ = buffer;
}

void Engine::open() {
    check(uc_open(UC_ARCH_X86, UC_MODE_64, &engine_), "cannot open an engine");
#ifdef uc_ctl_set_tcg_buffer_size
    // Unicorn before 2.1 always has 1 GiB, of which only what is used takes memory.
    uc_ctl_set_tcg_buffer_size(engine_, code_buffer_size);
#endif
    // Without this, an address must be given at which Unicorn stops; there is none that no guest has code at.
    const uc_err error = uc_ctl_exits_enable(engine_);
    if (error != UC_ERR_OK) {
        uc_close(engine_);
        check(error, "cannot set up an engine (asyncvm needs Unicorn 2.0.1 or later)");
    }
}

bool Engine::nearly_full() const noexcept {
    // Unicorn fills its buffer from the start, and it was all zeros. Of what it writes not all is 0 in some words.
    constexpr std::size_t samples = 8;
    constexpr std::size_t distance = 520;
    if (code_buffer_.size() < code_buffer_size) return false;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < samples; ++i) {
        std::uint64_t word = 0;
        std::memcpy(&word, code_buffer_.data() + code_high_water + i * distance, sizeof word);
        seen |= word;
    }
    return seen != 0;
}

void Engine::abandon(std::unique_ptr<Engine> engine) {
    static std::mutex mutex;
    static auto& all = *new std::vector<std::unique_ptr<Engine>>;
    const std::lock_guard lock(mutex);
    all.push_back(std::move(engine));
}

Engine::~Engine() {
    const std::lock_guard lock(opening());
    try {
        static_cast<void>(why_left([this] { uc_close(engine_); }));
    } catch (const std::bad_alloc&) {
        // No memory for the fiber's stack: the engine stays.
    }
}

std::uint64_t Engine::read(uc_x86_reg name) const noexcept {
    std::uint64_t value = 0;
    uc_reg_read(engine_, name, &value);
    return value;
}

void Engine::write(uc_x86_reg name, std::uint64_t value) noexcept { uc_reg_write(engine_, name, &value); }

std::uint64_t Engine::read_msr(std::uint32_t index) const noexcept {
    uc_x86_msr msr{index, 0};
    uc_reg_read(engine_, UC_X86_REG_MSR, &msr);
    return msr.value;
}

void Engine::write_msr(std::uint32_t index, std::uint64_t value) noexcept {
    uc_x86_msr msr{index, value};
    uc_reg_write(engine_, UC_X86_REG_MSR, &msr);
}

void Engine::read_bytes(uc_x86_reg name, std::span<std::byte, 16> to) const noexcept {
    uc_reg_read(engine_, name, to.data());
}

void Engine::write_bytes(uc_x86_reg name, std::span<const std::byte, 16> from) noexcept {
    uc_reg_write(engine_, name, from.data());
}

uc_x86_mmr Engine::read_table(uc_x86_reg name) const noexcept {
    uc_x86_mmr value{};
    uc_reg_read(engine_, name, &value);
    return value;
}

void Engine::write_table(uc_x86_reg name, const uc_x86_mmr& value) noexcept { uc_reg_write(engine_, name, &value); }

}  // namespace asyncvm::unicorn
