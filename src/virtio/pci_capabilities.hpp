/// The configuration space of a virtio-pci function (virtio 1.2, 4.1.2 and 4.1.4): its identity, and the capabilities that
/// say where the registers are. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "pci/config_space.hpp"

namespace asyncvm::virtio {

class PciCapabilities {
public:
    struct Function {
        std::uint32_t device = 0;  ///< the specification's number (chapter 5), less than 64
        unsigned vectors = 2;
        unsigned queues = 0;
        bool has_config = false;
        std::uint32_t bar = 0;
        unsigned irq = 0;
    };
    [[nodiscard]] static pci::ConfigSpace make_space(const Function& function);

    // Where make_space() puts what the transport has to know.
    static constexpr unsigned msix_control = 0x42;
    static constexpr unsigned window_data = 0x5c;

    /// Bytes of the BAR that a driver reads and writes at window_data.
    struct Window {
        unsigned offset = 0;
        unsigned size = 0;
    };
    /// Nothing if the driver has not chosen 1, 2 or 4 bytes inside of BAR 0, aligned.
    [[nodiscard]] static std::optional<Window> window(const pci::ConfigSpace& space) noexcept;
};

}  // namespace asyncvm::virtio
