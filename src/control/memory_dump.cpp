#include "control/memory_dump.hpp"

#include "vmcore/core_file.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <asio/this_coro.hpp>
#include <exception>
#include <string>
#include <utility>

namespace asyncvm::control {

namespace {

std::string_view name_of_state(std::size_t state) {
    constexpr std::array<std::string_view, 4> names{"none", "active", "completed", "failed"};
    return names.at(state);
}

void check_format(const std::string& format) {
    constexpr std::string_view others[] = {"kdump-zlib",    "kdump-lzo",        "kdump-snappy", "kdump-raw-zlib",
                                           "kdump-raw-lzo", "kdump-raw-snappy", "win-dmp"};
    if (format == "elf") return;
    if (std::ranges::find(others, format) != std::end(others)) throw CommandError(format + " is not available now");
    throw CommandError(fmt::format("Parameter 'format' does not accept value '{}'", format));
}

std::uint64_t size_of(const Json& number, std::string_view name) {
    if (number.is_number_unsigned() || number.get<std::int64_t>() >= 0) return number.get<std::uint64_t>();
    throw CommandError(fmt::format("Invalid parameter '{}'", name));
}

}  // namespace

vmcore::Request parse_dump(const Json& arguments) {
    constexpr std::string_view file = "file:";
    constexpr std::string_view descriptor = "fd:";
    vmcore::Request request;
    request.paging = arguments.at("paging").get<bool>();
    if (const auto format = arguments.find("format"); format != arguments.end()) check_format(format->get<std::string>());
    const auto begin = arguments.find("begin");
    const auto length = arguments.find("length");
    if (begin != arguments.end() && length == arguments.end()) throw CommandError("Parameter 'length' is missing");
    if (begin == arguments.end() && length != arguments.end()) throw CommandError("Parameter 'begin' is missing");
    if (begin != arguments.end()) request.only = {size_of(*begin, "begin"), size_of(*length, "length")};
    const auto protocol = arguments.at("protocol").get<std::string>();
    if (protocol.starts_with(descriptor)) {
        throw CommandError(fmt::format("File descriptor named '{}' has not been found", protocol.substr(descriptor.size())));
    }
    if (!protocol.starts_with(file) || protocol.size() == file.size()) throw CommandError("Invalid parameter 'protocol'");
    request.path = protocol.substr(file.size());
    return request;
}

void MemoryDump::refuse_if_active() const {
    if (active()) throw CommandError("There is a dump in process, please wait.");
}

Json MemoryDump::status() const {
    return {{"status", name_of_state(static_cast<std::size_t>(state_))},
            {"completed", progress_.done},
            {"total", progress_.total}};
}

awaitable<void> MemoryDump::carry_out(std::shared_ptr<MemoryDump> self, Json arguments) {
    self->refuse_if_active();
    vmcore::Request request = parse_dump(arguments);
    vmcore::CoreFile::check(request.path);
    self->state_ = State::active;
    self->progress_ = {};
    const auto detach = arguments.find("detach");
    if (detach == arguments.end() || !detach->get<bool>()) {
        co_await write(self, std::move(request));
        co_return;
    }
    const auto executor = co_await asio::this_coro::executor;
    // DUMP_COMPLETED says what has gone wrong.
    asio::co_spawn(executor, write(self, std::move(request)), [](const std::exception_ptr&) {});
}

awaitable<void> MemoryDump::write(std::shared_ptr<MemoryDump> self, vmcore::Request request) {
    std::exception_ptr failure;
    std::string problem;
    try {
        co_await self->hold_.begin();
        const std::function<void(vmcore::Progress)> told = [self](vmcore::Progress progress) { self->progress_ = progress; };
        static_cast<void>(co_await vmcore::dump(self->machine_, std::move(request), told));
    } catch (const std::exception& error) {
        failure = std::current_exception();
        problem = error.what();
    }
    self->state_ = failure ? State::failed : State::completed;
    Json data{{"result", self->status()}};
    if (failure) data["error"] = problem;
    self->tell_("DUMP_COMPLETED", data);
    self->hold_.end();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace asyncvm::control
