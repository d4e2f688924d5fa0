/// passt: the guest's network is the host's, through sockets of an ordinary process.
#pragma once

#include <asyncvm/net.hpp>

#include <memory>
#include <string>
#include <vector>

namespace asyncvm {

/// The words after `passt`, for a connected socket that it finds at descriptor `fd`. Pure.
[[nodiscard]] std::vector<std::string> passt_arguments(const NetSpec& spec, int fd);

/// Starts passt. It ends when its socket is closed, so also when this process is killed; the back end's close() ends it.
/// Throws Error(host) if it can't be started.
[[nodiscard]] std::shared_ptr<NetBackend> open_passt(const NetSpec& spec, NetEnvironment environment);

}  // namespace asyncvm
