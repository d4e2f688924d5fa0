/// A guest's crash, made up piece by piece.
#pragma once

#include "boot/initial_state.hpp"
#include "report/report.hpp"

#include "bytes.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace asyncvm::test {

/// A vCPU that was started at 0x10000 and then died of `exit`.
struct MadeUpDeath {
    explicit MadeUpDeath(Mode mode, Exit how = ShutDown{}) : exit(how) {
        started_with = initial_registers(memory, mode, 0x10000);
        registers = started_with;
    }

    [[nodiscard]] CrashContext crash() const {
        return {cpu, exit, registers, memory, history, &started_with, device_name, posted};
    }

    void port(Direction direction, std::uint64_t address, std::vector<std::byte> data, std::uint64_t rip,
              std::uint8_t size = 1) {
        PortAccess access;
        access.direction = direction;
        access.size = size;
        access.address = address;
        access.data = data;
        history.exited(0, access, rip);
        history.answered(0, access);
    }

    void memory_write(std::uint64_t address, std::vector<std::byte> data, std::uint64_t rip) {
        MmioAccess access;
        access.direction = Direction::write;
        access.size = static_cast<std::uint8_t>(data.size());
        access.address = address;
        access.data = data;
        history.exited(0, access, rip);
        history.answered(0, access);
    }

    GuestMemory memory{1 << 20};
    unsigned cpu = 0;
    Exit exit;
    Registers started_with;
    Registers registers;
    ExitHistory history;
    std::uint64_t posted = 0;
    DeviceName device_name = [](Space space, std::uint64_t address) {
        return std::string(space == Space::port && address >= 0x3f8 && address <= 0x3ff ? "uart16550" : "");
    };
};

}  // namespace asyncvm::test
