/// Texts for errors of the system.
#pragma once

#include <string>

namespace asyncvm {

/// The C library's text for `error`, a value of errno, in lower case as the messages need it: "address already in use". An
/// acronym at the beginning stays as it is: "RPC struct is bad". Any thread.
[[nodiscard]] std::string reason(int error);

}  // namespace asyncvm
