// A program outside of the repository that embeds the library: a machine with one device of its own, whose answer takes a
// timer. Built with what pkg-config says; prints "the guest read 42".
#include <asyncvm/accelerator.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/machine.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>

namespace {

class Answer : public asyncvm::Device {
public:
    std::string_view name() const noexcept override { return "answer"; }

    // Only this vCPU waits for the timer; its thread is free for whatever else its loop has to do.
    asyncvm::awaitable<void> read(asyncvm::Access& access) override {
        asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(1));
        co_await timer.async_wait(asyncvm::use_awaitable);
        access.data = 42;
    }

    asyncvm::awaitable<void> write(const asyncvm::Access& access) override {
        written = access.data;
        co_return;
    }

    std::uint64_t written = 0;
};

// in al, 0x60; out 0x60, al; hlt
constexpr std::array<std::uint8_t, 5> guest{0xe4, 0x60, 0xe6, 0x60, 0xf4};
constexpr std::uint64_t load_address = 0x1000;

asyncvm::awaitable<void> life(asyncvm::Machine& machine, asyncvm::Outcome& outcome) { outcome = co_await machine.run(); }

}  // namespace

int main() try {
    asio::io_context loop;
    asyncvm::Machine machine({.memory_size = 1 << 20}, asyncvm::make_kvm_accelerator(), loop);
    const auto answer = std::make_shared<Answer>();
    machine.ports().attach({.first = 0x60}, answer);
    std::memcpy(machine.memory().try_at(load_address, guest.size()).data(), guest.data(), guest.size());

    asyncvm::Registers registers = machine.registers(0);
    registers.cs.selector = 0;
    registers.cs.base = 0;
    registers.rip = load_address;
    machine.set_registers(0, registers);

    asyncvm::Outcome outcome;
    asio::co_spawn(loop, life(machine, outcome), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    });
    loop.run();
    if (outcome.kind != asyncvm::Outcome::Kind::halted) {
        std::fprintf(stderr, "%s\n%s", outcome.summary.c_str(), outcome.report.c_str());
        return 1;
    }
    std::printf("the guest read %d\n", static_cast<int>(answer->written));
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
