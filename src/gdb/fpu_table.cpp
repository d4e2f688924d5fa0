// x87, SSE and AVX as gdb numbers them, and where each is in FpuRegisters.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "gdb/register_table.hpp"

namespace asyncvm::gdb {

namespace {

using Part = RegisterEntry::Part;
using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

/// One of an array.
template <auto member>
void get(const FpuRegisters& from, unsigned index, Bytes to) {
    std::ranges::copy((from.*member)[index], to.begin());
}
template <auto member>
void set(FpuRegisters& to, unsigned index, ConstBytes from) {
    std::ranges::copy(from, (to.*member)[index].begin());
}

/// gdb has 4 bytes for each of the others.
void put(Bytes to, std::uint64_t value) {
    const auto low = static_cast<std::uint32_t>(value);
    std::memcpy(to.data(), &low, sizeof low);
}
std::uint32_t number(ConstBytes from) {
    std::uint32_t value = 0;
    std::memcpy(&value, from.data(), sizeof value);
    return value;
}

template <auto member>
void get_number(const FpuRegisters& from, unsigned, Bytes to) {
    put(to, from.*member);
}
template <auto member>
void set_number(FpuRegisters& to, unsigned, ConstBytes from) {
    to.*member = static_cast<std::remove_reference_t<decltype(to.*member)>>(number(from));
}

/// The lower half of a pointer to the last instruction or its operand.
template <auto member>
void set_offset(FpuRegisters& to, unsigned, ConstBytes from) {
    to.*member = (to.*member & ~std::uint64_t{0xffff'ffff}) | number(from);
}
/// gdb's segment: the 16 bits above.
template <auto member>
void get_segment(const FpuRegisters& from, unsigned, Bytes to) {
    put(to, from.*member >> 32 & 0xffff);
}
template <auto member>
void set_segment(FpuRegisters& to, unsigned, ConstBytes from) {
    to.*member = (to.*member & ~(std::uint64_t{0xffff} << 32)) | std::uint64_t{number(from) & 0xffff} << 32;
}

RegisterEntry array_entry(std::string name, unsigned bits, std::string_view type, Part part, unsigned index) {
    return {.name = std::move(name), .bits = bits, .type = type, .part = part, .source = Source::fpu, .index = index};
}

template <auto member>
void add_number(std::vector<RegisterEntry>& table, const char* name, std::string_view type = "int", Part part = Part::core) {
    RegisterEntry entry = array_entry(name, 32, type, part, 0);
    entry.get_fpu = get_number<member>;
    entry.set_fpu = set_number<member>;
    table.push_back(std::move(entry));
}

template <auto member>
void add_pointer(std::vector<RegisterEntry>& table, const char* segment, const char* offset) {
    RegisterEntry high = array_entry(segment, 32, "int", Part::core, 0);
    high.get_fpu = get_segment<member>;
    high.set_fpu = set_segment<member>;
    table.push_back(std::move(high));
    RegisterEntry low = array_entry(offset, 32, "int", Part::core, 0);
    low.get_fpu = get_number<member>;
    low.set_fpu = set_offset<member>;
    table.push_back(std::move(low));
}

template <auto member>
void add_array(std::vector<RegisterEntry>& table, fmt::format_string<unsigned&> name, unsigned count, unsigned bits,
               std::string_view type, Part part) {
    for (unsigned i = 0; i < count; ++i) {
        RegisterEntry entry = array_entry(fmt::format(name, i), bits, type, part, i);
        entry.get_fpu = get<member>;
        entry.set_fpu = set<member>;
        table.push_back(std::move(entry));
    }
}

}  // namespace

void add_fpu_registers(std::vector<RegisterEntry>& table, bool wide, bool avx) {
    const unsigned count = wide ? 16 : 8;
    add_array<&FpuRegisters::st>(table, "st{}", 8, 80, "i387_ext", Part::core);
    add_number<&FpuRegisters::control>(table, "fctrl");
    add_number<&FpuRegisters::status>(table, "fstat");
    add_number<&FpuRegisters::tags>(table, "ftag");
    add_pointer<&FpuRegisters::instruction>(table, "fiseg", "fioff");
    add_pointer<&FpuRegisters::operand>(table, "foseg", "fooff");
    add_number<&FpuRegisters::opcode>(table, "fop");
    add_array<&FpuRegisters::xmm>(table, "xmm{}", count, 128, "vec128", Part::sse);
    add_number<&FpuRegisters::mxcsr>(table, "mxcsr", "i386_mxcsr", Part::sse);
    if (avx) add_array<&FpuRegisters::ymm_high>(table, "ymm{}h", count, 128, "uint128", Part::avx);
}

}  // namespace asyncvm::gdb
