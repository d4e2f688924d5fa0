#include "monitor/report_parts.hpp"

#include <algorithm>
#include <string_view>

namespace asyncvm::monitor {

namespace {

constexpr std::string_view exits = "last exits";
constexpr std::string_view registers = "registers of";

}  // namespace

std::string exits_of(const std::string& report) {
    const auto begin = report.find(exits);
    if (begin == report.npos) return report;
    return report.substr(begin, std::min(report.find(registers, begin), report.size()) - begin);
}

std::string registers_of(const std::string& report) {
    const auto begin = report.find(registers);
    return begin == report.npos ? report : report.substr(begin);
}

}  // namespace asyncvm::monitor
