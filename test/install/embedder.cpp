// A guest with its serial port on TCP, and a device of the program's own, a thermometer at port 0x60.
#include <asyncvm/device_context.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/machine.hpp>
#include <asyncvm/open_chardev.hpp>

#include <cstdio>

using namespace asyncvm;

class Thermometer : public Device {
    std::string_view name() const noexcept override { return "thermometer"; }
    void attached(const DeviceContext& context) override { clock_ = &context.clock; }
    awaitable<void> read(Access& access) override {
        co_await clock_->wait_until(clock_->now() + std::chrono::milliseconds(1));  // only this vCPU waits
        access.data = degrees_++;
    }
    awaitable<void> write(const Access&) override { co_return; }
    MachineClock* clock_ = nullptr;
    char degrees_ = '7';
};

awaitable<void> run(Machine& machine, Chardev& serial) {
    const Outcome outcome = co_await machine.run();
    std::fprintf(stderr, "%s\n", outcome.summary.c_str());
    co_await serial.drain();  // until a client has taken the output
}

int main(int argc, char** argv) try {
    asio::io_context loop;
    const Log log = [](std::string_view line) { std::fprintf(stderr, "%.*s\n", int(line.size()), line.data()); };
    Machine machine({.memory_size = 1 << 20}, make_accelerator(AcceleratorChoice::automatic, log), loop);
    const auto serial = open_chardev(argc > 1 ? argv[1] : "tcp:4444", {.loop = loop, .log = log});
    machine.ports().attach(com_ports[0].ports, make_uart16550(serial, com_ports[0].irq));
    machine.ports().attach({.first = 0x60}, std::make_shared<Thermometer>());
    // mov dx, 0x3f8; in al, 0x60; out dx, al; in al, 0x60; out dx, al; mov al, 10; out dx, al; hlt
    const auto guest = std::as_bytes(std::span("\xba\xf8\x03\xe4\x60\xee\xe4\x60\xee\xb0\x0a\xee\xf4"));
    machine.set_registers(0, load_flat(machine.memory(), {.path = "the guest", .bytes = guest}).registers);
    asio::co_spawn(loop, run(machine, *serial), [&loop](std::exception_ptr error) {
        loop.stop();
        if (error) std::rethrow_exception(error);
    });
    loop.run();
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
