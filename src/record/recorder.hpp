/// A device around another one, which writes down all that the guest and that device do to each other.
#pragma once

#include "record/recording.hpp"

#include <asyncvm/devices.hpp>

#include <memory>
#include <string>
#include <vector>

namespace asyncvm::record {

/// What to attach at `places` in place of `device`. The file `path` is made when the machine gets the device.
[[nodiscard]] std::shared_ptr<Device> make_recorder(std::shared_ptr<Device> device, std::string path,
                                                    std::vector<Place> places);

/// A host whose buses attach a recorder in place of a device. One device, which may have several ranges: another one, or a
/// range that moves, is refused with Error(usage).
class RecordedHost {
public:
    /// What `host` refers to must outlive the object. The file `path` is made when the machine gets the device.
    RecordedHost(const DeviceHost& host, std::string path);
    ~RecordedHost();
    RecordedHost(const RecordedHost&) = delete;
    RecordedHost& operator=(const RecordedHost&) = delete;

    [[nodiscard]] const DeviceHost& host() const noexcept { return host_; }

private:
    class RecordedBus;
    struct Recorded;

    std::shared_ptr<Recorded> recorded_;
    std::unique_ptr<RecordedBus> ports_;
    std::unique_ptr<RecordedBus> mmio_;
    DeviceHost host_;
};

}  // namespace asyncvm::record
