// A device in another process, used from several threads at once, without a machine: what a vCPU gets is its own answer.
#define BOOST_TEST_MODULE remote_threads
#include <asyncvm/remote.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../devices/surroundings.hpp"

using namespace asyncvm;

namespace {

class NoRandom final : public RandomSource {
public:
    void fill(std::span<std::byte>) noexcept override {}
};

/// The registers of the peer at ports 0x300 on; its background work runs on a thread of its own.
class Running {
public:
    Running(RemoteSpec::Memory access, const std::string& words) {
        const char* const path = std::getenv("REMOTE_PEER");
        BOOST_REQUIRE(path != nullptr);
        RemoteSpec spec;
        spec.how = RemoteSpec::How::exec;
        spec.place = std::string(path) + " " + words;
        spec.ports = {{.first = 0x300, .size = 16}};
        spec.memory = access;
        spec.irqs = {5};
        spec.timeout = std::chrono::milliseconds(30'000);
        device = make_remote_device(spec, [this](std::string_view) { ++lines; });
        device->attached({.memory = memory, .loop = loop, .clock = clock, .random = random});
        asio::co_spawn(loop, device->run(),
                       asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr) { loop.stop(); }));
        thread = std::thread([this] { loop.run(); });
    }
    ~Running() {
        asio::post(loop, [this] { cancel.emit(asio::cancellation_type::terminal); });
        thread.join();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    std::deque<asio::io_context> contexts;
    asio::io_context loop{1};
    GuestMemory memory{1 << 20};
    ManualClock clock;
    NoRandom random;
    std::shared_ptr<RemoteDevice> device;
    asio::cancellation_signal cancel;
    std::thread thread;
    std::atomic<unsigned> lines = 0;
};

Access byte_at(unsigned cpu, std::uint64_t offset, std::uint64_t data = 0) {
    return {.size = 1, .cpu = cpu, .address = 0x300 + offset, .offset = offset, .data = data};
}

/// Writes what it then reads, in a byte that no other vCPU uses.
awaitable<void> count(Device& device, unsigned cpu, unsigned rounds, unsigned& wrong) {
    for (unsigned round = 0; round < rounds; ++round) {
        const Access write = byte_at(cpu, cpu, round & 0xff);
        co_await device.write(write);
        Access read = byte_at(cpu, cpu);
        co_await device.read(read);
        if (read.data != (round & 0xff)) ++wrong;
        // An interrupt, and with it a frame that is no reply, between the others.
        const Access level = byte_at(cpu, 6, round & 1);
        co_await device.write(level);
    }
}

/// Runs `work` for each of `cpus` vCPUs on a thread of its own. Their contexts live as long as the device, as in a machine:
/// another thread may still be waking one up.
template <typename Work>
void on_threads(Running& running, unsigned cpus, Work work) {
    std::vector<std::thread> threads;
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        threads.emplace_back([cpu, &work, &context = running.contexts.emplace_back(1)] {
            asio::co_spawn(context, work(cpu), [](std::exception_ptr failure) {
                if (failure) std::terminate();
            });
            context.run();
        });
    }
    for (auto& thread : threads) thread.join();
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_thread_gets_its_own_answers) {
    for (const char* const words : {"requests=1", "requests=4", "requests=4 caps=8"}) {
        Running running(RemoteSpec::Memory::none, words);
        std::array<unsigned, 4> wrong{};
        on_threads(running, 4, [&](unsigned cpu) { return count(*running.device, cpu, 300, wrong[cpu]); });
        BOOST_TEST(wrong == (std::array<unsigned, 4>{}), boost::test_tools::per_element());
        BOOST_TEST(running.lines == 0u);
    }
}

BOOST_AUTO_TEST_CASE(the_process_may_die_while_threads_wait_for_it) {
    Running running(RemoteSpec::Memory::none, "requests=4");
    std::atomic<unsigned> ones = 0;
    // Register 15 ends the process: the one after it comes half a second later.
    const auto ask_on = [](Device& device, unsigned cpu, std::atomic<unsigned>& all_ones) -> awaitable<void> {
        for (unsigned round = 0; round < 400; ++round) {
            if (cpu == 0 && round == 200) {
                const Access end = byte_at(cpu, 15);
                co_await device.write(end);
            }
            Access read = byte_at(cpu, 2);
            co_await device.read(read);
            if (read.data == 0xff) ++all_ones;
            if (read.data != 0xff && read.data != 0x34) std::terminate();
        }
    };
    on_threads(running, 4, [&](unsigned cpu) { return ask_on(*running.device, cpu, ones); });
    BOOST_TEST(ones > 0u);
    BOOST_TEST(running.lines == 1u);
}
