#define BOOST_TEST_MODULE exits
#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "both_or_skip.hpp"
#include "exit_log.hpp"
#include "boot/initial_state.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

constexpr std::uint64_t load_at = 0x10000;

/// What a device that is not there might answer: something else each time.
void answer(const Transaction& transaction, std::uint8_t& next) {
    if (transaction.direction != Direction::read) return;
    for (std::byte& byte : transaction.data) byte = std::byte{next += 0x1d};
}

struct Run {
    ExitLog log;
    std::string end;
    Registers registers;
};

Run run(std::unique_ptr<Accelerator> accelerator, Mode mode, std::span<const std::byte> image) {
    GuestMemory memory(1 << 20);
    memory.write(load_at, image);
    const Registers start = initial_registers(memory, mode, load_at);
    accelerator->map(memory);
    const auto cpu = accelerator->create_cpu(0);
    cpu->set_registers(start);
    Run made;
    std::uint8_t next = 0;
    while (made.end.empty()) {
        const Exit exit = cpu->run();
        if (const auto* const port = std::get_if<PortAccess>(&exit)) {
            answer(*port, next);
            made.log.add(*port);
        } else if (const auto* const mmio = std::get_if<MmioAccess>(&exit)) {
            answer(*mmio, next);
            made.log.add(*mmio);
        } else if (!std::holds_alternative<Interrupted>(exit)) {  // the process was stopped for a while
            made.end = std::holds_alternative<Halted>(exit)     ? "halted"
                       : std::holds_alternative<ShutDown>(exit) ? "triple fault"
                                                                : "failure";
            made.registers = cpu->registers();
        }
    }
    return made;
}

Mode mode_of(const std::filesystem::path& image) {
    const std::string name = image.stem();
    return name.ends_with("16") ? Mode::real16 : name.ends_with("32") ? Mode::protected32 : Mode::long64;
}

std::vector<std::byte> read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(BothOrSkip);

BOOST_AUTO_TEST_CASE(small_guests_make_the_same_exits) {
    std::size_t guests = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::getenv("IMAGES"))) {
        if (entry.path().extension() != ".bin") continue;
        BOOST_TEST_CONTEXT(entry.path().stem()) {
            const auto image = read(entry.path());
            const Run kvm = run(make_kvm_accelerator(), mode_of(entry.path()), image);
            const Run unicorn = run(make_unicorn_accelerator(), mode_of(entry.path()), image);
            ++guests;
            BOOST_TEST(!unicorn.log.lines().empty());
            BOOST_TEST(kvm.log.lines() == unicorn.log.lines(), boost::test_tools::per_element());
            BOOST_TEST(kvm.end == unicorn.end);
            // KVM has reset the processor after a triple fault.
            if (kvm.end == "triple fault") continue;
            BOOST_TEST(kvm.registers.rip == unicorn.registers.rip);
            BOOST_TEST(kvm.registers.cs.base == unicorn.registers.cs.base);
            BOOST_TEST(kvm.registers.rsp == unicorn.registers.rsp);
            BOOST_TEST(kvm.registers.rax == unicorn.registers.rax);
        }
    }
    BOOST_TEST(guests >= 15u);
}
