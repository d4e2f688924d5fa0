#include "accel/kvm/fd.hpp"
#include "probe/codes.hpp"
#include "probe/probes.hpp"
#include "probe/trial.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <variant>

namespace asyncvm::probe {

namespace {

constexpr std::uint64_t string_port = 0x40;
constexpr std::uint64_t fast_port = 0x50;
constexpr std::uint64_t fast_address = 0x200000;

/// KVM does not promise more than one element an exit; tests that count exits need to know.
Verdict probe_string(Code code) {
    Trial trial({.code = code, .mode = Mode::real16});
    std::size_t most = 0;
    std::size_t total = 0;
    const auto verdict = judge(trial, [&](const Exit& exit) {
        if (const auto* const port = std::get_if<PortAccess>(&exit); port != nullptr && port->address == string_port) {
            most = std::max(most, port->data.size());
            total += port->data.size();
        }
        return false;
    });
    if (!verdict.works) return verdict;
    if (total != 64) return {false, fmt::format("64 elements arrived as {}", total)};
    if (most == 1) return {false, "one element an exit"};
    return {true, fmt::format("{} elements in one exit", most)};
}

/// The writes must have arrived in the ring, and not as exits.
Verdict probe_coalesced(Code code, Mode mode, const CoalescedZone& zone) {
    Trial trial({.code = code, .mode = mode});
    CoalescedRing* const ring = trial.accelerator().posted_writes();
    if (ring == nullptr) return {false, "KVM does not offer it"};
    if (!ring->collect(zone)) return {false, "KVM refuses a zone"};
    bool exited = false;
    const auto verdict = judge(trial, [&](const Exit& exit) {
        const auto* const port = std::get_if<PortAccess>(&exit);
        exited = exited || std::holds_alternative<MmioAccess>(exit) || (port != nullptr && port->address == fast_port);
        return false;
    });
    if (!verdict.works) return verdict;
    if (exited) return {false, "the writes came as exits"};
    std::array<CoalescedWrite, 8> writes;
    const auto count = ring->peek(writes);
    std::string seen;
    for (const auto& write : std::span(writes).first(count)) seen += static_cast<char>(write.data & 0xff);
    if (seen != "abc") return {false, fmt::format("the ring has {} entries, not the 3 that were written", seen.size())};
    return {true, {}};
}

}  // namespace

Verdict probe_string_in() { return probe_string(code::string_in()); }
Verdict probe_string_out() { return probe_string(code::string_out()); }
Verdict probe_coalesced_pio() {
    return probe_coalesced(code::fast_writes(), Mode::real16, {.space = Space::port, .address = fast_port, .size = 1});
}
Verdict probe_coalesced_mmio() {
    return probe_coalesced(code::fast_mmio(), Mode::protected32,
                           {.space = Space::memory, .address = fast_address, .size = 4});
}

Verdict probe_ioeventfd() {
    Trial trial({.code = code::fast_writes(), .mode = Mode::real16});
    const kvm::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!trial.accelerator().connect_doorbell(Space::port, fast_port, {.size = 1}, event.get()))
        return {false, "KVM refuses it"};
    bool exited = false;
    const auto verdict = judge(trial, [&](const Exit& exit) {
        const auto* const port = std::get_if<PortAccess>(&exit);
        exited = exited || (port != nullptr && port->address == fast_port);
        return false;
    });
    if (!verdict.works) return verdict;
    if (exited) return {false, "the writes came as exits"};
    eventfd_t count = 0;
    ::eventfd_read(event.get(), &count);
    if (count != 3) return {false, fmt::format("3 writes counted as {}", count)};
    return {true, {}};
}

}  // namespace asyncvm::probe
