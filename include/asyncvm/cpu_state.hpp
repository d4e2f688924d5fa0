/// What an accelerator keeps of a vCPU, or of a machine, so that the guest can go on from it later or elsewhere.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// Named sections of bytes that only the accelerator of that name understands. Two states of the same guest at the same
/// point may differ in bytes that mean nothing.
struct AcceleratorState {
    struct Section {
        std::string name;           ///< "regs", "lapic"
        std::uint32_t version = 1;  ///< of the bytes' layout
        std::vector<std::byte> bytes;

        static constexpr unsigned state_version = 1;
        template <class Archive>
        void fields(Archive& archive) {
            archive.field("name", name);
            archive.field("version", version);
            archive.field("bytes", bytes);
        }
    };

    std::string accelerator;  ///< Accelerator::name() of who made it
    std::vector<Section> sections;

    /// Null where there is no such section.
    [[nodiscard]] const Section* find(std::string_view name) const noexcept {
        for (const Section& section : sections) {
            if (section.name == name) return &section;
        }
        return nullptr;
    }

    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("accelerator", accelerator);
        archive.field("sections", sections);
    }
};

/// Of one vCPU: all that the guest can notice, and nothing of memory.
struct CpuState : AcceleratorState {};

/// Of what the vCPUs share: interrupt controllers, timers, the paravirtual clock. Routes and eventfds of the interrupt
/// controller are not part of it: they belong to those who have made them.
struct VmState : AcceleratorState {};

}  // namespace asyncvm
