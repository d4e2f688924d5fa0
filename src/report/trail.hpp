/// The last exits of one vCPU, for the report about a guest that died.
#pragma once

#include <asyncvm/exit.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <variant>

namespace asyncvm {

/// A ring that forgets the oldest. Nothing in it allocates or throws: it is filled at every exit. One thread at a time.
class ExitTrail {
public:
    static constexpr std::size_t capacity = 16;

    enum class Kind : std::uint8_t { port, mmio, halted, shut_down, debug, system_event, failure };

    struct Record {
        Kind kind = Kind::halted;
        Direction direction = Direction::read;
        std::uint8_t size = 0;    ///< bytes of one element
        std::uint8_t valid = 0;   ///< bytes of `data` that are known; 0 for a read without an answer yet
        std::uint32_t count = 0;  ///< elements
        std::uint64_t address = 0;
        std::uint64_t data = 0;  ///< the first bytes, little-endian
        std::uint64_t rip = 0;   ///< at the exit: of the instruction, or behind it, as the accelerator has it
    };

    /// Right after the exit, before any device has seen it. Interrupted is not recorded: the guest did nothing.
    void record(const Exit& exit, std::uint64_t rip) noexcept {
        if (const auto* port = std::get_if<PortAccess>(&exit)) {
            add_transaction(Kind::port, *port, rip);
        } else if (const auto* mmio = std::get_if<MmioAccess>(&exit)) {
            add_transaction(Kind::mmio, *mmio, rip);
        } else if (!std::holds_alternative<Interrupted>(exit)) {
            Record& record = next();
            record = Record{};
            record.kind = kind_of(exit);
            record.rip = rip;
        }
    }

    /// When the devices have answered the exit that was recorded last: notes what a read has read.
    void answered(const Transaction& transaction) noexcept {
        if (total_ == 0 || transaction.direction != Direction::read) return;
        take_data(records_[(total_ - 1) % capacity], transaction);
    }

    /// How many are remembered, at most `capacity`.
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(std::min<std::uint64_t>(total_, capacity));
    }

    /// How many there have been.
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }

    /// 0 is the oldest that is remembered; `index` must be below size().
    [[nodiscard]] const Record& operator[](std::size_t index) const noexcept {
        return records_[(total_ - size() + index) % capacity];
    }

private:
    Record& next() noexcept { return records_[total_++ % capacity]; }

    void add_transaction(Kind kind, const Transaction& transaction, std::uint64_t rip) noexcept {
        Record& record = next();
        record.kind = kind;
        record.direction = transaction.direction;
        record.size = transaction.size;
        record.valid = 0;
        // A division costs more than all the rest here.
        record.count = transaction.size != 0 && transaction.data.size() == transaction.size ? 1 : count_of(transaction);
        record.address = transaction.address;
        record.data = 0;
        record.rip = rip;
        if (transaction.direction == Direction::write) take_data(record, transaction);
    }

    static std::uint32_t count_of(const Transaction& transaction) noexcept {
        return transaction.size == 0 ? 0 : static_cast<std::uint32_t>(transaction.data.size() / transaction.size);
    }

    /// Sizes that the compiler knows make a copy one instruction instead of a call.
    template <typename Number>
    static void take_number(Record& record, const std::byte* from) noexcept {
        Number number = 0;
        std::memcpy(&number, from, sizeof number);
        record.data = number;
        record.valid = sizeof number;
    }

    static void take_data(Record& record, const Transaction& transaction) noexcept {
        const std::byte* const from = transaction.data.data();
        switch (transaction.data.size()) {
            case 0:
                record.data = 0, record.valid = 0;
                break;
            case 1:
                take_number<std::uint8_t>(record, from);
                break;
            case 2:
                take_number<std::uint16_t>(record, from);
                break;
            case 4:
                take_number<std::uint32_t>(record, from);
                break;
            case 8:
                take_number<std::uint64_t>(record, from);
                break;
            default:
                record.data = 0;
                record.valid = static_cast<std::uint8_t>(std::min<std::size_t>(transaction.data.size(), sizeof record.data));
                std::memcpy(&record.data, from, record.valid);
        }
    }

    static Kind kind_of(const Exit& exit) noexcept {
        if (std::holds_alternative<Halted>(exit)) return Kind::halted;
        if (std::holds_alternative<ShutDown>(exit)) return Kind::shut_down;
        if (std::holds_alternative<Debug>(exit)) return Kind::debug;
        if (std::holds_alternative<SystemEvent>(exit)) return Kind::system_event;
        return Kind::failure;
    }

    std::array<Record, capacity> records_{};
    std::uint64_t total_ = 0;
};

}  // namespace asyncvm
