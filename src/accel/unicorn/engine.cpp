#include "accel/unicorn/engine.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <mutex>

namespace asyncvm::unicorn {

namespace {

/// Opening and closing is rare; nothing in Unicorn's documentation says that it may be done by several threads at once.
std::mutex& opening() {
    static std::mutex mutex;
    return mutex;
}

}  // namespace

void Engine::check(uc_err error, const char* what) {
    if (error == UC_ERR_OK) return;
    throw Error(ErrorKind::host, fmt::format("Unicorn: {}: {}", what, uc_strerror(error)));
}

Engine::Engine() {
    const std::lock_guard lock(opening());
    check(uc_open(UC_ARCH_X86, UC_MODE_64, &engine_), "cannot open an engine");
#ifdef uc_ctl_set_tcg_buffer_size
    // Room for translated code. Unicorn before 2.1 has 1 GiB, of which only what is used takes memory.
    uc_ctl_set_tcg_buffer_size(engine_, 32 * 1024 * 1024);
#endif
    // Without this, an address must be given at which Unicorn stops; there is none that no guest has code at.
    const uc_err error = uc_ctl_exits_enable(engine_);
    if (error != UC_ERR_OK) {
        uc_close(engine_);
        check(error, "cannot set up an engine (asyncvm needs Unicorn 2.0.1 or later)");
    }
}

Engine::~Engine() {
    const std::lock_guard lock(opening());
    uc_close(engine_);
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
