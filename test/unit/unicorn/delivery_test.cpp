#include "accel/unicorn/delivery.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>

#include "boot/initial_state.hpp"
#include "x86/bits.hpp"
#include "x86/segment_descriptor.hpp"

using namespace asyncvm;
using namespace asyncvm::unicorn;
using Kind = Delivery::Kind;

namespace {

constexpr std::uint64_t idt_at = 0x20000;

struct Fixture {
    explicit Fixture(Mode mode) {
        registers = initial_registers(memory, mode, 0x10000);
        registers.rsp = 0x8000;
        if (mode != Mode::real16) registers.idt = {idt_at, 0xfff};
    }

    void put(std::uint64_t address, std::uint64_t value) {
        std::memcpy(memory.try_at(address, 8).data(), &value, sizeof value);
    }

    /// An interrupt gate for 0x08:0x12345678 with `attributes` as in bits 40 to 47.
    void gate(unsigned vector, std::uint8_t attributes, std::uint16_t selector = 0x08, std::uint8_t stack = 0) {
        const std::uint64_t size = (registers.efer & efer_lma) != 0 ? 16 : 8;
        put(idt_at + size * vector, 0x1234'0000'0000'5678 | std::uint64_t{attributes} << 40 | std::uint64_t{selector} << 16 |
                                        std::uint64_t{stack} << 32);
        if (size == 16) put(idt_at + size * vector + 8, 0);
    }

    template <typename T>
    static T word(const Delivery& delivery, unsigned index) {
        T value;
        std::memcpy(&value, delivery.frame.data() + index * sizeof(T), sizeof value);
        return value;
    }

    GuestMemory memory{1 << 20};
    Registers registers;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(deliveries)

BOOST_AUTO_TEST_CASE(real_mode_pushes_flags_cs_and_ip) {
    Fixture fixture(Mode::real16);
    fixture.put(4 * 0x40, 0x2000'0123);
    fixture.registers.rip = 0x77;
    fixture.registers.rflags = 0x202 | rflags_tf | 1;
    const Delivery delivery = deliver(fixture.memory, fixture.registers, 0x40, false);
    BOOST_TEST((delivery.kind == Kind::handler));
    BOOST_TEST(delivery.cs == 0x2000);
    BOOST_TEST(delivery.rip == 0x123u);
    BOOST_TEST(delivery.rsp == 0x7ffau);
    BOOST_TEST(delivery.frame_address == 0x17ffau);
    BOOST_TEST(delivery.frame_size == 6u);
    BOOST_TEST(Fixture::word<std::uint16_t>(delivery, 0) == 0x77);
    BOOST_TEST(Fixture::word<std::uint16_t>(delivery, 1) == 0x1000);
    BOOST_TEST(Fixture::word<std::uint16_t>(delivery, 2) == 0x303);
    BOOST_TEST(delivery.rflags == 3u);
}

BOOST_AUTO_TEST_CASE(a_vector_beyond_the_table_is_a_triple_fault) {
    Fixture fixture(Mode::real16);
    fixture.registers.idt.limit = 0x17;
    BOOST_TEST((deliver(fixture.memory, fixture.registers, 6, true).kind == Kind::shut_down));
    fixture.registers.idt.limit = 0x1b;
    BOOST_TEST((deliver(fixture.memory, fixture.registers, 6, true).kind == Kind::handler));
}

BOOST_AUTO_TEST_CASE(a_gate_without_a_handler_is_a_triple_fault) {
    for (const Mode mode : {Mode::protected32, Mode::long64}) {
        Fixture fixture(mode);
        fixture.gate(6, 0x0e);  // not present
        BOOST_TEST((deliver(fixture.memory, fixture.registers, 6, true).kind == Kind::shut_down));
        fixture.registers.idt = {};
        BOOST_TEST((deliver(fixture.memory, fixture.registers, 6, true).kind == Kind::shut_down));
    }
}

BOOST_AUTO_TEST_CASE(protected_mode_pushes_eflags_cs_and_eip) {
    Fixture fixture(Mode::protected32);
    fixture.gate(6, 0x8e);
    fixture.registers.rip = 0x11111;
    fixture.registers.rflags = 0x203;
    const Delivery delivery = deliver(fixture.memory, fixture.registers, 6, true);
    BOOST_TEST((delivery.kind == Kind::handler));
    BOOST_TEST(delivery.rip == 0x12345678u);
    BOOST_TEST(delivery.rsp == 0x8000u - 12);
    BOOST_TEST(Fixture::word<std::uint32_t>(delivery, 0) == 0x11111u);
    BOOST_TEST(Fixture::word<std::uint32_t>(delivery, 1) == 0x08u);
    BOOST_TEST(Fixture::word<std::uint32_t>(delivery, 2) == (0x203u | rflags_rf));
    BOOST_TEST(delivery.rflags == 3u);
}

BOOST_AUTO_TEST_CASE(a_trap_gate_leaves_interrupts_on_and_a_software_interrupt_sets_no_resume_flag) {
    Fixture fixture(Mode::protected32);
    fixture.gate(0x80, 0x8f);
    fixture.registers.rflags = 0x202;
    const Delivery delivery = deliver(fixture.memory, fixture.registers, 0x80, false);
    BOOST_TEST(delivery.rflags == 0x202u);
    BOOST_TEST(Fixture::word<std::uint32_t>(delivery, 2) == 0x202u);
}

BOOST_AUTO_TEST_CASE(long_mode_aligns_the_stack_and_pushes_five_words) {
    Fixture fixture(Mode::long64);
    fixture.gate(3, 0x8e);
    fixture.registers.rsp = 0x8005;
    fixture.registers.rip = 0x11111;
    const Delivery delivery = deliver(fixture.memory, fixture.registers, 3, false);
    BOOST_TEST((delivery.kind == Kind::handler));
    BOOST_TEST(delivery.rsp == 0x8000u - 40);
    BOOST_TEST(Fixture::word<std::uint64_t>(delivery, 0) == 0x11111u);
    BOOST_TEST(Fixture::word<std::uint64_t>(delivery, 1) == 0x08u);
    BOOST_TEST(Fixture::word<std::uint64_t>(delivery, 3) == 0x8005u);
    BOOST_TEST(Fixture::word<std::uint64_t>(delivery, 4) == 0x10u);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_delivered_is_refused_by_name) {
    const auto reason = [](auto change, unsigned vector = 6, bool fault = true) {
        Fixture fixture(Mode::long64);
        fixture.gate(vector, 0x8e);
        change(fixture);
        const Delivery delivery = deliver(fixture.memory, fixture.registers, vector, fault);
        BOOST_TEST((delivery.kind == Kind::refused));
        return std::string(delivery.reason);
    };
    const auto nothing = [](Fixture&) {};
    BOOST_TEST(reason(nothing, 13).find("error code") != std::string::npos);
    BOOST_TEST(reason([](Fixture& fixture) { fixture.gate(6, 0x8e, 0x18); }).find("code segment") != std::string::npos);
    BOOST_TEST(reason([](Fixture& fixture) { fixture.gate(6, 0x8e, 0x08, 1); }).find("IST") != std::string::npos);
    BOOST_TEST(reason([](Fixture& fixture) { fixture.gate(6, 0x85); }).find("gate") != std::string::npos);
    BOOST_TEST(reason([](Fixture& fixture) { fixture.registers.rsp = 0xd000'0000; }).find("no memory") != std::string::npos);
    // INT 13 has no error code.
    Fixture fixture(Mode::long64);
    fixture.gate(13, 0x8e);
    BOOST_TEST((deliver(fixture.memory, fixture.registers, 13, false).kind == Kind::handler));
}

BOOST_AUTO_TEST_CASE(descriptors_survive_encoding) {
    Fixture fixture(Mode::long64);
    for (const Segment& segment : {fixture.registers.cs, fixture.registers.ds, real_mode_segment(0xf000, true)}) {
        const Segment back = decode_descriptor(encode_descriptor(segment), segment.selector);
        BOOST_TEST(back.base == segment.base);
        BOOST_TEST(back.limit == segment.limit);
        BOOST_TEST(back.type == segment.type);
        BOOST_TEST(back.present == segment.present);
        BOOST_TEST(back.long_mode == segment.long_mode);
        BOOST_TEST(back.default_32 == segment.default_32);
        BOOST_TEST(back.granularity_4k == segment.granularity_4k);
    }
}

BOOST_AUTO_TEST_SUITE_END()
