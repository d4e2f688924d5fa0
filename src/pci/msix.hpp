/// MSI-X (PCI Local Bus specification 3.0, 6.8.2): a table of messages, one a vector, and the vectors that are pending
/// because they are masked. Pure.
#pragma once

#include <asyncvm/interrupt_controller.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace asyncvm::pci {

class Msix {
public:
    static constexpr unsigned entry_size = 16;
    static constexpr unsigned most_vectors = 2048;
    // The message control register.
    static constexpr std::uint16_t enable = 1 << 15;
    static constexpr std::uint16_t mask_all = 1 << 14;

    Msix() = default;
    /// `vectors`: 1 to most_vectors.
    explicit Msix(unsigned vectors) : entries_(vectors) {}

    [[nodiscard]] unsigned vectors() const noexcept { return static_cast<unsigned>(entries_.size()); }
    [[nodiscard]] bool enabled() const noexcept { return (control_ & enable) != 0; }

    /// The function interrupts by this vector, which may be one that there is not. Returns the message that is to be sent;
    /// nothing if MSI-X is off or the vector is masked: then it is pending.
    [[nodiscard]] std::optional<MsiMessage> raise(unsigned vector) noexcept;

    /// What raise() would send now; nothing if it would send nothing.
    [[nodiscard]] std::optional<MsiMessage> message(unsigned vector) const noexcept;

    /// The message control register is written: the two bits above count. Returns the messages of pending vectors that are
    /// not masked any more.
    [[nodiscard]] std::vector<MsiMessage> write_control(std::uint16_t control);

    // The table. `bytes` is 1, 2 or 4, `offset` a multiple of it. Behind the table it reads as 0.
    [[nodiscard]] std::uint32_t read_table(unsigned offset, unsigned bytes) const noexcept;
    /// 4 bytes; other sizes change nothing. Returns the message of a pending vector that is not masked any more.
    [[nodiscard]] std::optional<MsiMessage> write_table(unsigned offset, unsigned bytes, std::uint32_t value) noexcept;

    /// The pending bits, in the same way; they can't be written.
    [[nodiscard]] std::uint32_t read_pending(unsigned offset, unsigned bytes) const noexcept;

    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("control", control_, enable | mask_all);
        archive.field("entries", entries_);
    }

private:
    static constexpr std::uint32_t vector_masked = 1;

    struct Entry {
        std::uint64_t address = 0;
        std::uint32_t data = 0;
        std::uint32_t vector_control = vector_masked;
        bool pending = false;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("address", address);
            archive.field("data", data);
            archive.field("vector control", vector_control, vector_masked);
            archive.field("pending", pending);
        }
    };

    [[nodiscard]] bool is_held(const Entry& entry) const noexcept;
    [[nodiscard]] std::optional<MsiMessage> deliver(Entry& entry) noexcept;

    std::uint16_t control_ = 0;
    std::vector<Entry> entries_;
};

}  // namespace asyncvm::pci
