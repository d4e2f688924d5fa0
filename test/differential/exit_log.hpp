/// What a guest did to its devices, in a form that two runs can be compared in.
#pragma once

#include <asyncvm/exit.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::test {

class ExitLog {
public:
    /// With its data: after a read has been answered. Each element of a string access counts alone, because accelerators cut
    /// strings differently.
    void add(const Transaction& access) {
        for (std::size_t at = 0; at < access.data.size(); at += access.size) {
            std::uint64_t value = 0;
            for (std::size_t i = 0; i < access.size; ++i)
                value |= std::to_integer<std::uint64_t>(access.data[at + i]) << (8 * i);
            char line[96];
            std::snprintf(line, sizeof line, "%s %s%u %lx: %lx", access.space == Space::port ? "port" : "memory",
                          access.direction == Direction::read ? "read" : "write", 8u * access.size, access.address, value);
            lines_.emplace_back(line);
        }
    }

    void note(std::string_view line) { lines_.emplace_back(line); }

    [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }

private:
    std::vector<std::string> lines_;
};

}  // namespace asyncvm::test
