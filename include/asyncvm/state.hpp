/// Saving and restoring the state of a device: one list of fields serves both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace asyncvm {

/// A register class names its state once:
///
///     static constexpr unsigned state_version = 1;
///     template <class Archive>
///     void fields(Archive& archive) {
///         archive.field("divisor", divisor_);
///         archive.field("fifo", fifo_);
///     }
///
/// save_state() and restore_state() below walk that list, so that the two can't differ. A field is an integer, a bool, an
/// enum, a std::string, a std::optional or a std::chrono::duration of fields, a fixed or growing sequence of fields
/// (std::array, std::vector, std::deque), or a class with fields() of its own.

/// Takes the state of devices, one after the other. Not for several threads.
class StateWriter;

/// Gives it back. Throws Error(usage) that names the device and the field for what does not fit: another version, a missing
/// field, a value out of its type's range, bytes left over.
class StateReader;

}  // namespace asyncvm
