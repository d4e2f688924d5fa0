/// Errors of the host and of the user's input. What the guest does is never an Error: see outcome.hpp.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <stdexcept>
#include <string>

namespace asyncvm {

/// Decides the exit code of the program: see docs/exit-codes.md.
enum class ErrorKind {
    usage,        ///< an option or its value is wrong
    guest_image,  ///< the guest's file can't be read, or does not fit
    host,         ///< /dev/kvm, memory, threads, descriptors, sockets: the host refused something
};

/// The message names what failed, on what, why, and what to do, without the program's name and without a full stop:
/// `cannot open /dev/kvm: permission denied (add yourself to group kvm)`.
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

    [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

private:
    ErrorKind kind_;
};

/// The host has refused memory.
class NoMemory : public Error {
public:
    explicit NoMemory(const std::string& message) : Error(ErrorKind::host, message) {}
};

}  // namespace asyncvm
