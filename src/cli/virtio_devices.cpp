#include "cli/virtio_devices.hpp"

namespace asyncvm::cli {

unsigned count_virtio_devices(const Options& options) {
    unsigned count = 0;
    if (options.rng) ++count;
    return count;
}

std::vector<std::shared_ptr<virtio::Device>> make_virtio_devices(const Options& options,
                                                                 [[maybe_unused]] const Wiring& wiring) {
    std::vector<std::shared_ptr<virtio::Device>> devices;
    if (options.rng) devices.push_back(virtio::make_rng());
    return devices;
}

}  // namespace asyncvm::cli
