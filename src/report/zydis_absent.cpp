// Instead of zydis.cpp, in a build without it.
#include "report/zydis.hpp"

namespace asyncvm {

bool have_zydis() noexcept { return false; }

std::vector<Instruction> decode_with_zydis(std::span<const std::byte>, std::uint64_t, unsigned) { return {}; }

}  // namespace asyncvm
