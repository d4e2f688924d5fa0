#include "probe/codes.hpp"
#include "probe/probes.hpp"
#include "probe/trial.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <string>
#include <variant>

namespace asyncvm::probe {

namespace {

constexpr std::uint64_t string_port = 0x40;
constexpr std::uint64_t fast_port = 0x50;
constexpr std::uint64_t fast_address = 0x200000;

/// More than one element in an exit is nothing that KVM promises; tests that count exits want to know.
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

/// Of the ring at `at`. Not with struct kvm_coalesced_mmio_ring, whose array has another place in C++ than in C with the
/// headers of Linux before 6.7.
std::span<const kvm_coalesced_mmio> ring_entries(const std::byte* at) {
    const auto* const last = reinterpret_cast<const std::uint32_t*>(at + sizeof(std::uint32_t));
    const auto* const entries = reinterpret_cast<const kvm_coalesced_mmio*>(at + 2 * sizeof(std::uint32_t));
    constexpr std::size_t most = (GuestMemory::page_size - 2 * sizeof(std::uint32_t)) / sizeof(kvm_coalesced_mmio);
    return {entries, std::min<std::size_t>(*last, most)};
}

/// The writes must have arrived in the ring, and not as exits.
Verdict probe_coalesced(Code code, Mode mode, bool pio) {
    Trial trial({.code = code, .mode = mode});
    const int page = trial.capability(KVM_CAP_COALESCED_MMIO);
    if (page <= 0 || (pio && trial.capability(KVM_CAP_COALESCED_PIO) <= 0)) return {false, "KVM does not offer it"};
    kvm_coalesced_mmio_zone zone{};
    zone.addr = pio ? fast_port : fast_address;
    zone.size = pio ? 1 : 4;
    zone.pio = pio;
    if (trial.vm().control(KVM_REGISTER_COALESCED_MMIO, &zone) != 0) return {false, "KVM refuses a zone"};
    bool exited = false;
    const auto verdict = judge(trial, [&](const Exit& exit) {
        const auto* const port = std::get_if<PortAccess>(&exit);
        exited = exited || std::holds_alternative<MmioAccess>(exit) || (port != nullptr && port->address == fast_port);
        return false;
    });
    if (!verdict.works) return verdict;
    if (exited) return {false, "the writes came as exits"};
    const kvm::Mapping mapping(trial.cpu_fd(), trial.run_size());
    const std::size_t offset = static_cast<std::size_t>(page) * GuestMemory::page_size;
    if (mapping.get() == nullptr || offset + sizeof(kvm_coalesced_mmio_ring) > mapping.size()) return {false, "no ring"};
    std::string seen;
    for (const auto& entry : ring_entries(mapping.get() + offset)) seen += static_cast<char>(entry.data[0]);
    if (seen != "abc") return {false, fmt::format("the ring has {} entries, not the 3 that were written", seen.size())};
    return {true, {}};
}

}  // namespace

Verdict probe_string_in() { return probe_string(code::string_in()); }
Verdict probe_string_out() { return probe_string(code::string_out()); }
Verdict probe_coalesced_pio() { return probe_coalesced(code::fast_writes(), Mode::real16, true); }
Verdict probe_coalesced_mmio() { return probe_coalesced(code::fast_mmio(), Mode::protected32, false); }

Verdict probe_ioeventfd() {
    Trial trial({.code = code::fast_writes(), .mode = Mode::real16});
    if (trial.capability(KVM_CAP_IOEVENTFD) <= 0) return {false, "KVM does not offer it"};
    const kvm::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    kvm_ioeventfd request{};
    request.addr = fast_port;
    request.len = 1;
    request.fd = event.get();
    request.flags = KVM_IOEVENTFD_FLAG_PIO;
    if (trial.vm().control(KVM_IOEVENTFD, &request) != 0) return {false, "KVM refuses it"};
    bool exited = false;
    const auto verdict = judge(trial, [&](const Exit& exit) {
        const auto* const port = std::get_if<PortAccess>(&exit);
        exited = exited || (port != nullptr && port->address == fast_port);
        return false;
    });
    if (!verdict.works) return verdict;
    if (exited) return {false, "the writes came as exits"};
    std::uint64_t count = 0;
    if (::read(event.get(), &count, sizeof count) != sizeof count || count != 3) {
        return {false, fmt::format("3 writes counted as {}", count)};
    }
    return {true, {}};
}

}  // namespace asyncvm::probe
