#include "many.hpp"

#include "processor_time.hpp"

#include <asyncvm/devices.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/machine.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds settling{100};

/// What has come from all machines.
struct Ears {
    std::atomic<unsigned> heard = 0;
    std::atomic<std::uint64_t> lines = 0;
};

/// The other end of a serial port: takes everything, and tells of lines.
class Ear final : public Chardev {
public:
    Ear(asio::io_context& loop, Ears& ears, unsigned machines) : loop_(loop), ears_(ears), machines_(machines) {}

    std::size_t write_some(std::span<const std::byte> data) noexcept override {
        const auto lines = std::ranges::count(data, std::byte{'\n'});
        if (lines == 0) return data.size();
        ears_.lines += static_cast<std::uint64_t>(lines);
        if (!heard_.exchange(true) && ++ears_.heard == machines_) asio::post(loop_, [this] { loop_.stop(); });
        return data.size();
    }
    [[nodiscard]] bool writable() const noexcept override { return true; }
    [[nodiscard]] std::uint64_t room() const noexcept override { return ~std::uint64_t{0}; }
    std::size_t read_some(std::span<std::byte>) noexcept override { return 0; }
    [[nodiscard]] bool readable() const noexcept override { return false; }
    [[nodiscard]] bool connected() const noexcept override { return true; }
    [[nodiscard]] awaitable<void> ready() override { co_return; }
    [[nodiscard]] awaitable<std::uint64_t> drain() override { co_return 0; }
    void close() noexcept override {}
    [[nodiscard]] std::string description() const override { return "ear"; }

private:
    asio::io_context& loop_;
    Ears& ears_;
    unsigned machines_;
    std::atomic<bool> heard_ = false;
};

/// Not from statm: before Linux 6.2 each thread keeps up to 64 pages to itself that are not in its sum.
std::uint64_t resident_bytes() {
    std::ifstream file("/proc/self/smaps_rollup");
    std::uint64_t kibibytes = 0;
    for (std::string word; file >> word;) {
        if (word == "Rss:" && file >> kibibytes) return kibibytes * 1024;
    }
    throw std::runtime_error("/proc/self/smaps_rollup does not tell what is resident");
}

/// Each machine has several descriptors.
void raise_file_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

std::unique_ptr<Machine> make_machine(asio::io_context& loop, const std::string& image, std::chrono::microseconds period,
                                      std::shared_ptr<Chardev> ear) {
    MachineConfig config;
    config.memory_size = 1 << 20;
    auto machine = std::make_unique<Machine>(std::move(config), make_kvm_accelerator(), loop);
    FlatGuest flat;
    flat.path = image;
    Registers registers = load_flat(machine->memory(), flat).registers;
    registers.rbx = static_cast<std::uint64_t>(period.count());
    machine->set_registers(0, registers);
    machine->ports().attach({.first = 0x3f8, .size = 8}, make_uart16550(std::move(ear)));
    machine->ports().attach({.first = 0xf2, .size = 1, .whole = true}, make_sleep_port());
    return machine;
}

}  // namespace

ManyResult run_many(const std::string& image, unsigned count, std::chrono::microseconds period,
                    std::chrono::milliseconds window) {
    raise_file_limit();
    asio::io_context loop(1);
    Ears ears;
    std::vector<std::unique_ptr<Machine>> machines;
    std::exception_ptr failure;
    ManyResult result;
    const auto memory_before = resident_bytes();
    const auto start = Clock::now();
    for (unsigned index = 0; index < count; ++index) {
        machines.push_back(make_machine(loop, image, period, std::make_shared<Ear>(loop, ears, count)));
        asio::co_spawn(loop, machines.back()->run(), [&](std::exception_ptr error, const Outcome& outcome) {
            if (error) failure = error;
            if (!error && outcome.kind != Outcome::Kind::stopped) {
                failure = std::make_exception_ptr(std::runtime_error(outcome.summary));
            }
            if (failure) loop.stop();
        });
    }
    result.made = Clock::now() - start;
    loop.run();
    if (failure) std::rethrow_exception(failure);
    result.heard = Clock::now() - start;
    result.memory = resident_bytes() - memory_before;
    // What the last one still does after its first line belongs to the start.
    loop.restart();
    loop.run_for(settling);
    loop.restart();
    const auto lines_before = ears.lines.load();
    const auto processor_before = processor_time();
    loop.run_for(window);
    result.processor = processor_time() - processor_before;
    result.lines = ears.lines.load() - lines_before;
    for (const auto& machine : machines) machine->stop();
    loop.restart();
    loop.run();
    if (failure) std::rethrow_exception(failure);
    return result;
}

}  // namespace asyncvm::bench
