#include "report/disassembler.hpp"

#ifdef ASYNCVM_HAS_ZYDIS
#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <array>
#include <exception>
#include <utility>

#include "dynamic/shared_library.hpp"
#endif

#include <algorithm>

namespace asyncvm {

namespace {

#ifdef ASYNCVM_HAS_ZYDIS

// Loaded for the first report, as most guests need none. The names of the functions mean these pointers from here on.
decltype(&::ZydisDecoderInit) ZydisDecoderInit = nullptr;
decltype(&::ZydisDecoderDecodeFull) ZydisDecoderDecodeFull = nullptr;
decltype(&::ZydisFormatterInit) ZydisFormatterInit = nullptr;
decltype(&::ZydisFormatterSetProperty) ZydisFormatterSetProperty = nullptr;
decltype(&::ZydisFormatterFormatInstruction) ZydisFormatterFormatInstruction = nullptr;

bool load() noexcept {
    try {
        const SharedLibrary library(
            fmt::format("libZydis.so.{}.{}", ZYDIS_VERSION_MAJOR(ZYDIS_VERSION), ZYDIS_VERSION_MINOR(ZYDIS_VERSION))
                .c_str());
        library.find("ZydisDecoderInit", ZydisDecoderInit);
        library.find("ZydisDecoderDecodeFull", ZydisDecoderDecodeFull);
        library.find("ZydisFormatterInit", ZydisFormatterInit);
        library.find("ZydisFormatterSetProperty", ZydisFormatterSetProperty);
        library.find("ZydisFormatterFormatInstruction", ZydisFormatterFormatInstruction);
        return true;
    } catch (const std::exception&) {
        return false;  // a report with bytes only is better than none
    }
}

struct Zydis {
    explicit Zydis(unsigned bits) {
        const auto mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                          : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                       : ZYDIS_MACHINE_MODE_REAL_16;
        const auto stack = bits == 64 ? ZYDIS_STACK_WIDTH_64 : bits == 32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16;
        ZydisDecoderInit(&decoder, mode, stack);
        ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
        // 0x48 rather than 0x0000000000000048, and small letters as in the rest of a report.
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_RELATIVE, ZYDIS_PADDING_DISABLED);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
    }

    ZydisDecoder decoder{};
    ZydisFormatter formatter{};
};

/// `[bx+si*1]`: 16-bit code has no scales, and elsewhere 1 says nothing.
std::string without_scale_one(std::string text) {
    for (std::size_t at = text.find("*1"); at != std::string::npos; at = text.find("*1", at)) text.erase(at, 2);
    return text;
}

bool have_zydis() noexcept {
    static const bool loaded = load();
    return loaded;
}

std::vector<Instruction> decode_with_zydis(std::span<const std::byte> code, std::uint64_t rip, unsigned bits) {
    const Zydis zydis(bits);
    std::vector<Instruction> result;
    while (!code.empty()) {
        ZydisDecodedInstruction decoded{};
        std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};
        const ZyanStatus status =
            ZydisDecoderDecodeFull(&zydis.decoder, code.data(), code.size(), &decoded, operands.data());
        if (status == ZYDIS_STATUS_NO_MORE_DATA) break;
        Instruction instruction{rip, code.first(1), "(bad)"};
        if (ZYAN_SUCCESS(status)) {
            std::array<char, 128> text{};
            instruction.bytes = code.first(decoded.length);
            if (ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&zydis.formatter, &decoded, operands.data(),
                                                             decoded.operand_count_visible, text.data(), text.size(), rip,
                                                             nullptr))) {
                instruction.text = without_scale_one(text.data());
            }
        }
        code = code.subspan(instruction.bytes.size());
        rip += instruction.bytes.size();
        result.push_back(std::move(instruction));
    }
    return result;
}

#endif

std::vector<Instruction> rows_of_bytes(std::span<const std::byte> code, std::uint64_t rip) {
    std::vector<Instruction> rows;
    for (; !code.empty(); code = code.subspan(rows.back().bytes.size())) {
        const std::uint64_t address = rows.empty() ? rip : rows.back().address + rows.back().bytes.size();
        rows.push_back(Instruction{address, code.first(std::min<std::size_t>(code.size(), 8)), {}});
    }
    return rows;
}

}  // namespace

bool can_disassemble() noexcept {
#ifdef ASYNCVM_HAS_ZYDIS
    return have_zydis();
#else
    return false;
#endif
}

std::vector<Instruction> disassemble(std::span<const std::byte> code, std::uint64_t rip, [[maybe_unused]] unsigned bits) {
#ifdef ASYNCVM_HAS_ZYDIS
    if (have_zydis()) return decode_with_zydis(code, rip, bits);
#endif
    return rows_of_bytes(code, rip);
}

}  // namespace asyncvm
