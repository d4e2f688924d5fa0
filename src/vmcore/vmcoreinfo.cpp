#include "vmcore/vmcoreinfo.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace asyncvm::vmcore {

namespace {

constexpr std::string_view owner{"VMCOREINFO", 11};  // with the zero at its end
constexpr std::size_t owner_room = 12;
constexpr std::size_t head_size = sizeof(Elf64_Nhdr) + owner_room;
constexpr std::size_t longest = 4096;  ///< bytes that it says

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
    return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

}  // namespace

std::vector<std::byte> vmcoreinfo_at(const GuestMemory& memory, std::uint64_t address) {
    std::array<std::byte, head_size> head{};
    if (memory.read(address, head) != head.size()) return {};
    Elf64_Nhdr note{};
    std::memcpy(&note, head.data(), sizeof note);
    if (note.n_namesz != owner.size() || note.n_type != 0 || note.n_descsz == 0 || note.n_descsz > longest) return {};
    if (!begins_with(std::span(head).subspan(sizeof note), owner)) return {};
    std::vector<std::byte> whole(head_size + (note.n_descsz + 3) / 4 * 4);
    if (memory.read(address, whole) != whole.size()) return {};
    if (!begins_with(std::span(whole).subspan(head_size), "OSRELEASE=")) return {};
    return whole;
}

}  // namespace asyncvm::vmcore
