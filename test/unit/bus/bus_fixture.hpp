/// A bus of its own, and a guest's accesses to it.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/exit.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/io_bus.hpp"

namespace asyncvm::test {

struct BusFixture {
    asio::io_context loop{1};
    std::vector<std::string> told;
    IoBus bus{Space::port, loop, [this](std::string_view line) { told.emplace_back(line); }};

    void perform(Transaction& transaction, unsigned cpu = 0) {
        std::exception_ptr failure;
        asio::co_spawn(loop, bus.perform(transaction, cpu), [&failure](std::exception_ptr e) { failure = std::move(e); });
        loop.restart();
        loop.run();
        if (failure) std::rethrow_exception(failure);
    }

    std::uint64_t read(std::uint64_t address, unsigned size) {
        std::array<std::byte, 8> data{};
        Transaction transaction = make(Direction::read, address, size, {data.data(), size});
        perform(transaction);
        std::uint64_t value = 0;
        std::memcpy(&value, data.data(), size);
        return value;
    }

    void write(std::uint64_t address, unsigned size, std::uint64_t value) {
        std::array<std::byte, 8> data{};
        std::memcpy(data.data(), &value, size);
        Transaction transaction = make(Direction::write, address, size, {data.data(), size});
        perform(transaction);
    }

    static Transaction make(Direction direction, std::uint64_t address, unsigned size, std::span<std::byte> data) {
        Transaction transaction;
        transaction.direction = direction;
        transaction.size = static_cast<std::uint8_t>(size);
        transaction.address = address;
        transaction.data = data;
        return transaction;
    }
};

}  // namespace asyncvm::test
