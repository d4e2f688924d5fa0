#include <chardev/wire_map.hpp>

namespace asyncvm {

void WireMap::add(std::uint64_t wire, std::uint64_t guest) {
    if (wire == 0 && guest == 0) return;
    wire_end_ += wire;
    guest_end_ += guest;
    if (!runs_.empty()) {
        auto& last = runs_.back();
        // The same number of wire bytes for each byte of the guest: one run.
        if (last.wire * guest == wire * last.guest && (last.guest == 0) == (guest == 0)) {
            last.wire += wire;
            last.guest += guest;
            return;
        }
    }
    runs_.push_back({wire, guest});
}

std::uint64_t WireMap::acknowledge(std::uint64_t wire) {
    while (!runs_.empty() && wire >= wire_ + runs_.front().wire) {
        wire_ += runs_.front().wire;
        guest_ += runs_.front().guest;
        runs_.pop_front();
    }
    if (!runs_.empty() && wire > wire_ && runs_.front().guest > 0) {
        // Whole bytes of the guest only: the first half of a doubled one does not count yet.
        auto& run = runs_.front();
        const auto each = run.wire / run.guest;
        const auto whole = (wire - wire_) / each;
        wire_ += whole * each;
        guest_ += whole;
        run.wire -= whole * each;
        run.guest -= whole;
    }
    return guest_;
}

}  // namespace asyncvm
