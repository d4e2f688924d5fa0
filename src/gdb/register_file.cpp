#include "gdb/register_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gdb/hex.hpp"
#include "gdb/register_table.hpp"
#include "x86/bits.hpp"

namespace asyncvm::gdb {

namespace {

std::uint64_t number_of(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size() && i < sizeof value; ++i) {
        value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    }
    return value;
}

std::string hex_of(std::uint64_t value, unsigned bits) {
    std::array<std::byte, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
    return to_hex(std::span<const std::byte>(bytes).first(bits / 8));
}

}  // namespace

Width width_of(const Registers& registers) noexcept {
    if (in_64_bits(registers)) return Width::long64;
    return (registers.cr0 & cr0_pe) != 0 && registers.cs.default_32 ? Width::protected32 : Width::real16;
}

RegisterFile::RegisterFile(Width width, bool avx) : width_(width), entries_(register_table(width, avx)) {
    const auto is = [](std::string_view name) { return [name](const RegisterEntry& entry) { return entry.name == name; }; };
    pc_ =
        static_cast<unsigned>(std::ranges::find_if(entries_, is(width == Width::long64 ? "rip" : "eip")) - entries_.begin());
    general_count_ = static_cast<std::size_t>(std::ranges::find_if(entries_, is("st0")) - entries_.begin());
}

std::string RegisterFile::read_general(const Registers& registers) const {
    std::string text;
    for (std::size_t i = 0; i < general_count_; ++i) text += hex_of(entries_[i].get(registers), entries_[i].bits);
    return text;
}

bool RegisterFile::write_general(Registers& registers, std::string_view bytes) const {
    std::size_t size = 0;
    for (std::size_t i = 0; i < general_count_; ++i) size += entries_[i].bits / 8;
    if (bytes.size() != size) return false;
    // In two rounds: the linear addresses need the segments' bases.
    Registers changed = registers;
    for (std::size_t i = 0, at = 0; i < general_count_; at += entries_[i].bits / 8, ++i) {
        const std::uint64_t value = number_of(bytes.substr(at, entries_[i].bits / 8));
        // What gdb gives back as it was keeps what is beyond its size.
        if (hex_of(entries_[i].get(registers), entries_[i].bits) == hex_of(value, entries_[i].bits)) continue;
        if (entries_[i].set != nullptr) entries_[i].set(changed, value);
    }
    registers = changed;
    return true;
}

const RegisterEntry* RegisterFile::find(unsigned number) const noexcept {
    return number < entries_.size() ? &entries_[number] : nullptr;
}

std::optional<std::string> RegisterFile::read(const RegisterValues& values, unsigned number) const {
    const RegisterEntry* const entry = find(number);
    if (entry == nullptr) return std::nullopt;
    if (entry->source == Source::core) return hex_of(entry->get(values.core), entry->bits);
    if (entry->source == Source::fpu && values.fpu) {
        std::array<std::byte, 16> bytes{};
        const auto used = std::span(bytes).first(entry->bits / 8);
        entry->get_fpu(*values.fpu, entry->index, used);
        return to_hex(used);
    }
    if (entry->source == Source::msrs) {
        if (const auto found = values.msrs.find(entry->index); found != values.msrs.end())
            return hex_of(found->second, entry->bits);
    }
    return std::string(entry->bits / 4, 'x');
}

bool RegisterFile::write(RegisterValues& values, unsigned number, std::string_view bytes) const {
    const RegisterEntry* const entry = find(number);
    if (entry == nullptr || bytes.size() != entry->bits / 8) return false;
    switch (entry->source) {
        case Source::core:
            // After a function that gdb has called it writes all that it has read before.
            if (entry->set == nullptr) return hex_of(entry->get(values.core), entry->bits) == to_hex(bytes);
            entry->set(values.core, number_of(bytes));
            return true;
        case Source::fpu:
            if (!values.fpu) return false;
            entry->set_fpu(*values.fpu, entry->index, std::as_bytes(std::span(bytes)));
            return true;
        case Source::msrs:
            break;
    }
    const auto found = values.msrs.find(entry->index);
    if (found == values.msrs.end()) return false;
    found->second = number_of(bytes);
    return true;
}

namespace {

/// lldb shows the group "general", and the others on demand. gdb has its own idea of an x86 processor's groups.
std::string_view group_of(const RegisterEntry& entry) {
    using Part = RegisterEntry::Part;
    switch (entry.part) {
        case Part::core:
            return entry.source == Source::fpu ? "float" : "general";
        case Part::sse:
        case Part::avx:
            return "vector";
        case Part::segments:
        case Part::system:
        case Part::msrs:
            break;
    }
    return "system";
}

}  // namespace

std::string RegisterFile::description() const {
    using Part = RegisterEntry::Part;
    constexpr std::string_view architectures[] = {"i8086", "i386", "i386:x86-64"};
    struct Feature {
        Part part;
        std::string_view name;
        std::string_view types;
    };
    // gdb knows the first four by these names.
    constexpr Feature features[] = {
        {Part::core, "org.gnu.gdb.i386.core",
         R"(<flags id="i386_eflags" size="4"><field name="CF" start="0" end="0"/><field name="" start="1" end="1"/>)"
         R"(<field name="PF" start="2" end="2"/><field name="AF" start="4" end="4"/><field name="ZF" start="6" end="6"/>)"
         R"(<field name="SF" start="7" end="7"/><field name="TF" start="8" end="8"/><field name="IF" start="9" end="9"/>)"
         R"(<field name="DF" start="10" end="10"/><field name="OF" start="11" end="11"/>)"
         R"(<field name="IOPL" start="12" end="13"/><field name="NT" start="14" end="14"/>)"
         R"(<field name="RF" start="16" end="16"/><field name="VM" start="17" end="17"/>)"
         R"(<field name="AC" start="18" end="18"/><field name="VIF" start="19" end="19"/>)"
         R"(<field name="VIP" start="20" end="20"/><field name="ID" start="21" end="21"/></flags>)"},
        {Part::sse, "org.gnu.gdb.i386.sse",
         R"(<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>)"
         R"(<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>)"
         R"(<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>)"
         R"(<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>)"
         R"(<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/>)"
         R"(<field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>)"
         R"(<field name="uint128" type="uint128"/></union>)"
         R"(<flags id="i386_mxcsr" size="4"><field name="IE" start="0" end="0"/><field name="DE" start="1" end="1"/>)"
         R"(<field name="ZE" start="2" end="2"/><field name="OE" start="3" end="3"/><field name="UE" start="4" end="4"/>)"
         R"(<field name="PE" start="5" end="5"/><field name="DAZ" start="6" end="6"/><field name="IM" start="7" end="7"/>)"
         R"(<field name="DM" start="8" end="8"/><field name="ZM" start="9" end="9"/><field name="OM" start="10" end="10"/>)"
         R"(<field name="UM" start="11" end="11"/><field name="PM" start="12" end="12"/>)"
         R"(<field name="RC" start="13" end="14"/><field name="FZ" start="15" end="15"/></flags>)"},
        {Part::avx, "org.gnu.gdb.i386.avx", ""},
        {Part::segments, "org.gnu.gdb.i386.segments", ""},
        {Part::system, "org.asyncvm.i386.system", ""},
        {Part::msrs, "org.asyncvm.i386.msrs", ""},
    };
    std::string xml = fmt::format(
        R"(<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>{}</architecture><osabi>none</osabi>)",
        architectures[static_cast<std::size_t>(width_)]);
    for (const Feature& feature : features) {
        std::string members;
        for (const RegisterEntry& entry : entries_) {
            if (entry.part != feature.part) continue;
            members += fmt::format(R"(<reg name="{}" bitsize="{}" type="{}" group="{}"/>)", entry.name, entry.bits,
                                   entry.type, group_of(entry));
        }
        if (!members.empty())
            xml += fmt::format(R"(<feature name="{}">{}{}</feature>)", feature.name, feature.types, members);
    }
    return xml + "</target>";
}

}  // namespace asyncvm::gdb
