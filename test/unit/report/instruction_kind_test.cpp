#include "report/instruction_kind.hpp"

#include "bytes.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace asyncvm;
using asyncvm::test::bytes;

namespace {

struct Case {
    const char* text;
    InstructionKind kind;
    unsigned bits;
    std::vector<std::byte> code;
};

}  // namespace

BOOST_AUTO_TEST_CASE(instructions_are_known_by_their_bytes) {
    using enum InstructionKind;
    const std::vector<Case> cases{
        {"mov al, 1", plain, 64, bytes({0xb0, 1})},
        {"out 0xf8, al", plain, 16, bytes({0xe6, 0xf8})},
        {"addps xmm0, xmm1", simd, 64, bytes({0x0f, 0x58, 0xc1})},
        {"movaps [rsp], xmm8", simd, 64, bytes({0x44, 0x0f, 0x29, 0x04, 0x24})},
        {"movdqa xmm0, [rax]", simd, 64, bytes({0x66, 0x0f, 0x6f, 0x00})},
        {"pshufb xmm0, xmm1", simd, 64, bytes({0x66, 0x0f, 0x38, 0x00, 0xc1})},
        {"vaddps", simd, 64, bytes({0xc5, 0xf8, 0x58, 0xc1})},
        {"vaddps in 32 bits", simd, 32, bytes({0xc5, 0xf8, 0x58, 0xc1})},
        {"lds eax, [eax]", plain, 32, bytes({0xc5, 0x00})},
        {"evex", simd, 64, bytes({0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1})},
        {"bound", plain, 32, bytes({0x62, 0x00})},
        {"fxsave [rax]", simd, 64, bytes({0x0f, 0xae, 0x00})},
        {"mfence", plain, 64, bytes({0x0f, 0xae, 0xf0})},
        {"fninit", x87, 32, bytes({0xdb, 0xe3})},
        {"fwait", x87, 16, bytes({0x9b})},
        {"popcnt rax, rbx", extension, 64, bytes({0xf3, 0x48, 0x0f, 0xb8, 0xc3})},
        {"bsf eax, ebx", plain, 64, bytes({0x0f, 0xbc, 0xc3})},
        {"crc32 eax, bl", extension, 64, bytes({0xf2, 0x0f, 0x38, 0xf0, 0xc3})},
        {"rdtscp", extension, 64, bytes({0x0f, 0x01, 0xf9})},
        {"xgetbv", extension, 64, bytes({0x0f, 0x01, 0xd0})},
        {"stac", extension, 64, bytes({0x0f, 0x01, 0xcb})},
        {"cmpxchg16b [rax]", extension, 64, bytes({0x48, 0x0f, 0xc7, 0x08})},
        {"cmpxchg8b [rax]", plain, 64, bytes({0x0f, 0xc7, 0x08})},
        {"rdrand eax", extension, 64, bytes({0x0f, 0xc7, 0xf0})},
        {"int 0x80", interrupt, 32, bytes({0xcd, 0x80})},
        {"int3", interrupt, 64, bytes({0xcc})},
        {"iretq", interrupt, 64, bytes({0x48, 0xcf})},
        {"syscall", syscall, 64, bytes({0x0f, 0x05})},
        {"vmcall", hypercall, 64, bytes({0x0f, 0x01, 0xc1})},
        {"vmmcall", hypercall, 64, bytes({0x0f, 0x01, 0xd9})},
        {"lgdt [eax]", plain, 32, bytes({0x0f, 0x01, 0x10})},
        {"cpuid", plain, 64, bytes({0x0f, 0xa2})},
        {"inc eax, then popcnt's rest", plain, 32, bytes({0x48, 0x0f, 0xb8})},
    };
    for (const Case& one : cases) BOOST_TEST((instruction_kind(one.code, one.bits) == one.kind), one.text);
}

BOOST_AUTO_TEST_CASE(too_few_bytes_are_plain) {
    BOOST_TEST((instruction_kind({}, 64) == InstructionKind::plain));
    BOOST_TEST((instruction_kind(bytes({0x66, 0xf3, 0x48}), 64) == InstructionKind::plain));
    BOOST_TEST((instruction_kind(bytes({0x0f}), 64) == InstructionKind::plain));
    BOOST_TEST((instruction_kind(bytes({0x0f, 0x01}), 64) == InstructionKind::plain));
}

BOOST_AUTO_TEST_CASE(no_instruction_is_read_past_its_end) {
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
        // Of its own size on the heap, so that a sanitizer sees the end.
        std::vector<std::byte> code(random() % 5);
        for (std::byte& byte : code) byte = static_cast<std::byte>(random() % 3 == 0 ? 0x0f : random());
        static_cast<void>(instruction_kind(code, i % 2 == 0 ? 64 : 16));
    }
}
