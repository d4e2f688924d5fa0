/// What is wrong in a line that a person has typed.
#pragma once

#include <stdexcept>

namespace asyncvm::monitor {

/// In QEMU's words, where it has some.
struct HumanError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace asyncvm::monitor
