#include "report/disassembler.hpp"

#include <algorithm>

#include "report/zydis.hpp"

namespace asyncvm {

bool can_disassemble() noexcept { return have_zydis(); }

std::vector<Instruction> disassemble(std::span<const std::byte> code, std::uint64_t rip, unsigned bits) {
    if (have_zydis()) return decode_with_zydis(code, rip, bits);
    std::vector<Instruction> rows;
    for (; !code.empty(); code = code.subspan(rows.back().bytes.size())) {
        const std::uint64_t address = rows.empty() ? rip : rows.back().address + rows.back().bytes.size();
        rows.push_back(Instruction{address, code.first(std::min<std::size_t>(code.size(), 8)), {}});
    }
    return rows;
}

}  // namespace asyncvm
