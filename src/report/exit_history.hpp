/// The last exits of one vCPU, for the report about a guest that crashed.
#pragma once

#include <asyncvm/exit.hpp>
#include <asyncvm/observer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <variant>

namespace asyncvm {

/// A ring that forgets the oldest. An access that is the same as the one before it, to the last byte, is only counted there:
/// a guest that polls does not push out what it did before. Nothing in it allocates or throws: it is filled at every exit.
/// Each vCPU has one, by its type and not through a pointer: so its calls cost no more than their own work. One thread at a
/// time.
class ExitHistory final : public Observer {
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
        std::uint64_t data = 0;   ///< the first bytes, little-endian
        std::uint64_t rip = 0;    ///< at the exit: of the instruction, or behind it, as the accelerator has it
        std::uint64_t times = 1;  ///< so often, one after the other
    };

    /// Interrupted is not recorded: the guest did nothing.
    void exited(unsigned /*cpu*/, const Exit& exit, std::uint64_t rip) noexcept override {
        if (const auto* port = std::get_if<PortAccess>(&exit)) {
            add_transaction(Kind::port, *port, rip);
        } else if (const auto* mmio = std::get_if<MmioAccess>(&exit)) {
            add_transaction(Kind::mmio, *mmio, rip);
        } else if (!std::holds_alternative<Interrupted>(exit)) {
            add({.shape = kind_of(exit), .rip = rip});
        }
    }

    /// Notes what a read has read.
    void answered(unsigned /*cpu*/, const Transaction& transaction) noexcept override {
        if (kept_ == 0 || transaction.direction != Direction::read) return;
        Packed& read = packed_[(kept_ - 1) % slots];
        const Data data = data_of(transaction);
        read.data = data.first;
        read.shape = (read.shape & ~known_bits) | data.known;
        if (kept_ < 2) return;
        Packed& before = packed_[(kept_ - 2) % slots];
        if (!same(before, read)) return;
        ++before.times;
        --kept_;
    }

    /// How many are remembered, at most `capacity`.
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(std::min<std::uint64_t>(kept_, capacity));
    }

    /// How many exits there have been.
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }

    /// 0 is the oldest that is remembered; `index` must be below size().
    [[nodiscard]] Record operator[](std::size_t index) const noexcept {
        const Packed& packed = packed_[(kept_ - size() + index) % slots];
        Record record;
        record.kind = static_cast<Kind>(packed.shape & 0xff);
        record.direction = static_cast<Direction>(packed.shape >> direction_shift & 0xff);
        record.size = static_cast<std::uint8_t>(packed.shape >> size_shift);
        record.valid = static_cast<std::uint8_t>(packed.shape >> valid_shift & 0x7f);
        record.count = static_cast<std::uint32_t>(packed.shape >> count_shift);
        record.address = packed.address;
        record.data = packed.data;
        record.rip = packed.rip;
        record.times = packed.times;
        return record;
    }

private:
    // Record's small fields in one number: they are compared at each exit.
    static constexpr unsigned direction_shift = 8;
    static constexpr unsigned size_shift = 16;
    static constexpr unsigned valid_shift = 24;
    static constexpr unsigned count_shift = 32;
    static constexpr std::uint64_t all_known = std::uint64_t{0x80} << valid_shift;  ///< no byte is missing in `data`
    static constexpr std::uint64_t known_bits = std::uint64_t{0xff} << valid_shift;

    struct Packed {
        std::uint64_t shape = 0;
        std::uint64_t address = 0;
        std::uint64_t data = 0;
        std::uint64_t rip = 0;
        std::uint64_t times = 1;
    };

    /// What is known of a transfer's bytes.
    struct Data {
        std::uint64_t first = 0;
        std::uint64_t known = 0;  ///< the part of the shape
    };

    /// More than are remembered: a read that is only counted in the end must not have taken the oldest's place.
    static constexpr std::size_t slots = 2 * capacity;

    void add(const Packed& packed) noexcept {
        ++total_;
        packed_[kept_++ % slots] = packed;
    }

    static bool same(const Packed& one, const Packed& other) noexcept {
        // What differs most often comes first. Unknown bytes might differ.
        return one.rip == other.rip && one.data == other.data && one.shape == other.shape && one.address == other.address &&
               (one.shape & all_known) != 0;
    }

    void add_transaction(Kind kind, const Transaction& transaction, std::uint64_t rip) noexcept {
        // A division costs more than all the rest here.
        const std::uint64_t count =
            transaction.size != 0 && transaction.data.size() == transaction.size ? 1 : count_of(transaction);
        Packed packed{.shape = static_cast<std::uint64_t>(kind) |
                               static_cast<std::uint64_t>(transaction.direction) << direction_shift |
                               static_cast<std::uint64_t>(transaction.size) << size_shift | count << count_shift,
                      .address = transaction.address,
                      .rip = rip};
        if (transaction.direction == Direction::write) {
            const Data data = data_of(transaction);
            packed.data = data.first;
            packed.shape |= data.known;
            if (Packed& newest = packed_[(kept_ - 1) % slots]; kept_ != 0 && same(newest, packed)) {
                ++newest.times;
                ++total_;
                return;
            }
        }
        add(packed);
    }

    static std::uint32_t count_of(const Transaction& transaction) noexcept {
        return transaction.size == 0 ? 0 : static_cast<std::uint32_t>(transaction.data.size() / transaction.size);
    }

    /// Sizes that the compiler knows make a copy one instruction instead of a call.
    template <typename Number>
    static Data number_at(const std::byte* from) noexcept {
        Number number = 0;
        std::memcpy(&number, from, sizeof number);
        return {number, std::uint64_t{sizeof number} << valid_shift | all_known};
    }

    static Data data_of(const Transaction& transaction) noexcept {
        const std::byte* const from = transaction.data.data();
        const std::size_t size = transaction.data.size();
        switch (size) {
            case 0:
                return {};
            case 1:
                return number_at<std::uint8_t>(from);
            case 2:
                return number_at<std::uint16_t>(from);
            case 4:
                return number_at<std::uint32_t>(from);
            case 8:
                return number_at<std::uint64_t>(from);
            default:
                break;
        }
        // No call here: every exit would pay for the registers that it may change.
        Data data;
        const std::size_t kept = std::min(size, sizeof data.first);
        for (std::size_t i = 0; i < kept; ++i) data.first |= std::to_integer<std::uint64_t>(from[i]) << 8 * i;
        data.known = kept << valid_shift | (kept == size ? all_known : 0);
        return data;
    }

    static std::uint64_t kind_of(const Exit& exit) noexcept {
        auto kind = Kind::failure;
        if (std::holds_alternative<Halted>(exit)) kind = Kind::halted;
        if (std::holds_alternative<ShutDown>(exit)) kind = Kind::shut_down;
        if (std::holds_alternative<Debug>(exit)) kind = Kind::debug;
        if (std::holds_alternative<SystemEvent>(exit)) kind = Kind::system_event;
        return static_cast<std::uint64_t>(kind);
    }

    std::array<Packed, slots> packed_{};
    std::uint64_t kept_ = 0;   ///< records, the forgotten ones included
    std::uint64_t total_ = 0;  ///< exits
};

}  // namespace asyncvm
