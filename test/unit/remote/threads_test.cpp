// A device in another process, used from several threads at once, without a machine: what a vCPU gets is its own answer.
#define BOOST_TEST_MODULE remote_threads
#include <asyncvm/error.hpp>
#include <asyncvm/remote.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <span>
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

BOOST_AUTO_TEST_CASE(a_string_is_cut_between_its_elements) {
    Running running(RemoteSpec::Memory::none, "data=18");
    std::array<std::uint32_t, 9> out{};
    for (unsigned i = 0; i < out.size(); ++i) out[i] = 0x01010101 * i;
    std::array<std::uint32_t, 9> in{};
    const auto both = [](Device& device, std::span<const std::byte> from, std::span<std::byte> to) -> awaitable<void> {
        const Access first{.size = 4, .address = 0x300};
        co_await device.write_string(first, from);
        co_await device.read_string(first, to);
    };
    const auto from = std::as_bytes(std::span(out));
    const auto to = std::as_writable_bytes(std::span(in));
    on_threads(running, 1, [&](unsigned) { return both(*running.device, from, to); });
    BOOST_TEST(std::ranges::count(in, out.back()) == 9);
    BOOST_TEST(running.lines == 0u);
}

BOOST_AUTO_TEST_CASE(a_device_that_can_not_be_is_refused) {
    RemoteSpec good;
    good.place = "unix:/tmp/device";
    good.ports.assign(most_remote_ranges, {.first = 0x300, .size = 1});
    good.irqs.assign(most_remote_irqs, 23);
    good.timeout = std::chrono::milliseconds(1);
    const auto refusal = [](const RemoteSpec& spec) {
        try {
            static_cast<void>(make_remote_device(spec, [](std::string_view) {}));
            return std::string();
        } catch (const Error& error) {
            return std::string(error.what());
        }
    };
    BOOST_TEST(refusal(good) == "");
    auto spec = good;
    spec.mmio.push_back({.first = 0xd000'0000, .size = 1});
    BOOST_TEST(refusal(spec) == "device remote: 17 ranges are too many: 16 at most");
    spec = good;
    spec.irqs.push_back(1);
    BOOST_TEST(refusal(spec) == "device remote: 17 interrupt lines are too many: 16 at most");
    spec.irqs = {24};
    BOOST_TEST(refusal(spec) == "device remote: an interrupt line is 0 to 23");
    spec = good;
    spec.timeout = std::chrono::milliseconds(0);
    BOOST_TEST(refusal(spec) == "device remote: timeout= is 1 or more milliseconds");
    spec = good;
    spec.place = "unix:";
    BOOST_TEST(refusal(spec) == "'unix:' is neither unix:PATH nor tcp:[HOST:]PORT (for example unix:/run/dev.sock)");
}
