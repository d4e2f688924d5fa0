#include "exits.hpp"

#include <asyncvm/open_chardev.hpp>
#include "devices.hpp"

#include <asyncvm/devices.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/machine.hpp>
#include <asyncvm/remote.hpp>

#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace asyncvm::bench {

namespace {

constexpr std::uint16_t first_port = 0x20;

MachineConfig config_with(unsigned cpus) {
    MachineConfig config;
    config.memory_size = 1 << 20;
    config.cpus = cpus;
    config.log = [](std::string_view line) { std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data()); };
    return config;
}

/// A machine with exits.S in it and the mark port.
class MarkedMachine {
public:
    MarkedMachine(std::unique_ptr<Accelerator> accelerator, unsigned cpus = 1)
        : machine_(config_with(cpus), std::move(accelerator), loop_) {
        machine_.ports().attach({.first = Marks::port}, marks_);
    }

    [[nodiscard]] asio::io_context& loop() noexcept { return loop_; }
    [[nodiscard]] Machine& machine() noexcept { return machine_; }

    /// vCPU n starts with DX = `port` + n * `step`.
    Timing run(const ExitsGuest& guest, std::uint16_t port, std::uint16_t step = 0) {
        FlatGuest flat;
        flat.path = guest.image;
        Registers registers = load_flat(machine_.memory(), flat).registers;
        registers.rcx = guest.count;
        registers.rbx = static_cast<unsigned>(guest.kind);
        for (unsigned cpu = 0; cpu < machine_.cpus(); ++cpu) {
            registers.rdx = port + cpu * step;
            machine_.set_registers(cpu, registers);
        }
        std::exception_ptr failure;
        std::optional<Outcome> outcome;
        asio::co_spawn(loop_, machine_.run(), [&](std::exception_ptr error, Outcome with) {
            failure = std::move(error);
            outcome = std::move(with);
            // A chardev may have work there that never ends.
            loop_.stop();
        });
        loop_.run();
        if (failure) std::rethrow_exception(failure);
        if (outcome->kind != Outcome::Kind::halted) throw std::runtime_error(outcome->summary);
        return {marks_->elapsed(), marks_->processor()};
    }

private:
    asio::io_context loop_{1};
    std::shared_ptr<Marks> marks_ = std::make_shared<Marks>();
    Machine machine_;
};

Timing run_with_one(MarkedMachine& on, const ExitsGuest& guest) {
    const auto device = std::make_shared<Silent>();
    on.machine().ports().attach({.first = first_port}, device);
    on.machine().mmio().attach({.first = 0x100000, .size = 16}, device);
    auto timing = on.run(guest, first_port);
    timing.accesses = device->accesses();
    return timing;
}

}  // namespace

Timing time_exits(const ExitsGuest& guest, unsigned cpus, bool shared) {
    MarkedMachine on(make_kvm_accelerator(), cpus);
    if (cpus == 1 || shared) return run_with_one(on, guest);
    std::vector<std::shared_ptr<Silent>> devices;
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        devices.push_back(std::make_shared<Silent>());
        on.machine().ports().attach({.first = first_port + cpu}, devices.back());
    }
    auto timing = on.run(guest, first_port, 1);
    for (const auto& device : devices) timing.accesses += device->accesses();
    return timing;
}

Timing time_fake_exits(const ExitsGuest& guest) {
    MarkedMachine on(make_fake_accelerator(guest.kind, guest.count, first_port));
    return run_with_one(on, guest);
}

Timing time_device_loop(const ExitsGuest& guest, const std::string& wait) {
    MarkedMachine on(make_kvm_accelerator());
    auto kind = OnLoop::Wait::nothing;
    if (wait == "timer") kind = OnLoop::Wait::timer;
    if (wait == "asio-timer") kind = OnLoop::Wait::asio_timer;
    if (wait == "socket") kind = OnLoop::Wait::socket;
    const auto device = std::make_shared<OnLoop>(on.loop(), kind);
    on.machine().ports().attach({.first = first_port}, device);
    auto timing = on.run(guest, first_port);
    timing.accesses = device->accesses();
    return timing;
}

Timing time_remote(const ExitsGuest& guest, const std::string& command) {
    MarkedMachine on(make_kvm_accelerator());
    RemoteSpec spec;
    spec.how = RemoteSpec::How::exec;
    spec.place = command;
    spec.ports = {{.first = first_port}};
    on.machine().ports().attach(spec.ports.front(), make_remote_device(spec, {}));
    return on.run(guest, first_port);
}

Timing time_writes(const ExitsGuest& guest, const std::string& device) {
    MarkedMachine on(make_kvm_accelerator());
    const DeviceHost host{
        .ports = on.machine().ports(),
        .mmio = on.machine().mmio(),
        .finish = [](const Outcome&) {},
        .open_chardev =
            [&on](std::string_view) {
                return open_chardev(parse_chardev_spec("null"), ChardevEnvironment{.loop = on.loop()});
            },
    };
    add_device(host, device + ",port=0x20");
    return on.run(guest, first_port);
}

}  // namespace asyncvm::bench
