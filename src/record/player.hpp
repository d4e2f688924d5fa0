/// A device that is not there: a recording answers for it.
#pragma once

#include <asyncvm/device_kind.hpp>

namespace asyncvm::record {

/// `--device replay`: attaches itself where the recording says.
extern const DeviceKind replay_kind;

}  // namespace asyncvm::record
