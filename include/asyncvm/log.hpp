/// How the library tells a person something: one line, without the program's name.
#pragma once

#include <functional>
#include <string_view>

namespace asyncvm {

/// Called on any thread, one line at a time, without a newline at its end. Must not throw. An empty function is allowed
/// wherever a Log is taken: nothing is told then.
using Log = std::function<void(std::string_view)>;

inline void tell(const Log& log, std::string_view line) {
    if (log) log(line);
}

}  // namespace asyncvm
