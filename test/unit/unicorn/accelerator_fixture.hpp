/// A vCPU on Unicorn with a guest of a few bytes.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "boot/initial_state.hpp"

namespace asyncvm::test {

struct AcceleratorFixture {
    static constexpr std::uint64_t load_at = 0x10000;

    explicit AcceleratorFixture(Mode mode, std::initializer_list<std::uint8_t> code, unsigned cpu_count = 1) {
        write(load_at, code);
        start = initial_registers(memory, mode, load_at);
        accelerator->map(memory);
        for (unsigned index = 0; index < cpu_count; ++index) {
            cpus.push_back(accelerator->create_cpu(index));
            cpus.back()->set_registers(start);
        }
    }

    void write(std::uint64_t address, std::initializer_list<std::uint8_t> bytes) {
        for (const std::uint8_t byte : bytes) memory.try_at(address++, 1)[0] = std::byte{byte};
    }

    /// As a device or a debugger does it.
    void host_writes(std::uint64_t address, std::uint8_t value) {
        const std::byte byte{value};
        memory.write(address, std::span(&byte, 1));
    }

    void put(std::uint64_t address, std::uint64_t value) {
        std::memcpy(memory.try_at(address, 8).data(), &value, sizeof value);
    }

    [[nodiscard]] Cpu& cpu() { return *cpus.front(); }

    /// The next exit must be an OUT; returns what it writes.
    std::uint64_t next_out() {
        const Exit exit = cpu().run();
        const auto* const port = std::get_if<PortAccess>(&exit);
        BOOST_REQUIRE_MESSAGE(port != nullptr && port->direction == Direction::write,
                              "not an OUT but exit " << exit.index());
        std::uint64_t value = 0;
        std::memcpy(&value, port->data.data(), port->data.size());
        return value;
    }

    /// The next exit must be a refusal; returns its reason.
    std::string next_refusal() {
        const Exit exit = cpu().run();
        const auto* const failure = std::get_if<Failure>(&exit);
        BOOST_REQUIRE_MESSAGE(failure != nullptr, "not a failure but exit " << exit.index());
        BOOST_TEST((failure->kind == Failure::Kind::refused));
        return std::string(failure->reason);
    }

    template <typename Kind>
    [[nodiscard]] bool next_is() {
        return std::holds_alternative<Kind>(cpu().run());
    }

    GuestMemory memory{1 << 20};
    Registers start;
    std::unique_ptr<Accelerator> accelerator = make_unicorn_accelerator();
    std::vector<std::unique_ptr<Cpu>> cpus;
};

}  // namespace asyncvm::test
