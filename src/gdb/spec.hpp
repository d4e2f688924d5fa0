/// What --gdb asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gdb/register_file.hpp"

namespace asyncvm::gdb {

struct Spec {
    enum class Kind : std::uint8_t { tcp, unix_socket, stdio };
    Kind kind = Kind::tcp;
    std::string host;              ///< empty: loopback
    std::uint16_t port = 0;        ///< 0: the kernel picks one
    std::string path;              ///< of a Unix socket
    bool wait = false;             ///< the guest begins when gdb lets it
    std::optional<Width> width{};  ///< of the processor's description; not given: as the guest's mode is when gdb comes, or
                                   ///< what the caller knows to be better
};

/// tcp:[HOST:]PORT, unix:PATH or stdio, with the options wait and mode=16|32|64. Throws Error(usage).
[[nodiscard]] Spec parse_spec(std::string_view text);

}  // namespace asyncvm::gdb
