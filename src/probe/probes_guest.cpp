#include "probe/codes.hpp"
#include "probe/probes.hpp"
#include "probe/trial.hpp"

#include <cstring>
#include <variant>

namespace asyncvm::probe {

namespace {

Verdict run(Code code, Mode mode) {
    Trial trial({.code = code, .mode = mode});
    return judge(trial);
}

}  // namespace

Verdict probe_real_mode() { return run(code::real_mode(), Mode::real16); }
Verdict probe_int_real() { return run(code::int_real(), Mode::real16); }
Verdict probe_protected_mode() { return run(code::protected_mode(), Mode::protected32); }
Verdict probe_long_mode() { return run(code::long_mode(), Mode::long64); }
Verdict probe_enter_long_mode() { return run(code::enter_long_mode(), Mode::protected32); }
Verdict probe_int_32() { return run(code::int_32(), Mode::protected32); }
Verdict probe_int_64() { return run(code::int_64(), Mode::long64); }
Verdict probe_int3_64() { return run(code::int3_64(), Mode::long64); }
Verdict probe_paging_32() { return run(code::paging_32(), Mode::protected32); }
Verdict probe_paging_pae() { return run(code::paging_pae(), Mode::protected32); }
Verdict probe_ring3_int() { return run(code::ring3_int(), Mode::long64); }
Verdict probe_ring3_syscall() { return run(code::ring3_syscall(), Mode::long64); }
Verdict probe_sse() { return run(code::sse(), Mode::long64); }
Verdict probe_x87() { return run(code::x87(), Mode::long64); }
Verdict probe_popcnt() { return run(code::popcnt(), Mode::long64); }
Verdict probe_vmcall() { return run(code::vmcall(), Mode::long64); }

Verdict probe_mmio() {
    Trial trial({.code = code::mmio(), .mode = Mode::long64});
    bool written = false;
    auto verdict = judge(trial, [&written](const Exit& exit) {
        const auto* const access = std::get_if<MmioAccess>(&exit);
        if (access == nullptr || access->address != 0x200000 || access->data.size() != 4) return false;
        std::uint32_t value = 0x87654321;
        if (access->direction == Direction::read) {
            std::memcpy(access->data.data(), &value, sizeof value);
        } else {
            std::memcpy(&value, access->data.data(), sizeof value);
            written = value == 0x12345678;
        }
        return false;
    });
    if (verdict.works && !written) return {false, "the write did not arrive as it was"};
    return verdict;
}

Verdict probe_triple_fault() {
    Trial trial({.code = code::triple_fault(), .mode = Mode::long64});
    return judge(trial, [](const Exit& exit) { return std::holds_alternative<ShutDown>(exit); });
}

}  // namespace asyncvm::probe
