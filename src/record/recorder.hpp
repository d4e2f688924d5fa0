/// A device around another one, which writes down all that the guest and that device do to each other.
#pragma once

#include "record/recording.hpp"

#include <memory>
#include <string>
#include <vector>

namespace asyncvm::record {

/// What to attach at `places` in place of `device`. The file `path` is made when the machine gets the device.
[[nodiscard]] std::shared_ptr<Device> make_recorder(std::shared_ptr<Device> device, std::string path,
                                                    std::vector<Place> places);

}  // namespace asyncvm::record
