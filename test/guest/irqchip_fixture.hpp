/// A machine with the interrupt controllers that KVM keeps, and guests that program them.
#pragma once

#include <asyncvm/interrupt_controller.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <span>

#include "bare_machine.hpp"
#include "interrupt_code.hpp"

asm(R"(
    # Vectors 0x20 and 0x24 (of the first PIC) and 0x40 (of messages) write '0', '4' and 'M' to port 0x50.
    .macro asyncvm_test_pic_guest mask
    asyncvm_test_pics \mask
    asyncvm_test_vector 0x20, 10f
    asyncvm_test_vector 0x24, 14f
    asyncvm_test_vector 0x40, 18f
    .endm

    # 'R' there says that interrupts are ready.
    .macro asyncvm_test_wait_for_interrupts
    mov $'R', %al
    out %al, $0x50
1:  sti
    hlt
    jmp 1b
10: mov $'0', %al
    jmp 2f
14: mov $'4', %al
2:  out %al, $0x50
    asyncvm_test_eoi
    iret
18: mov $'M', %al
    out %al, $0x50
    asyncvm_test_apic_eoi
    iret
    .endm
)");

namespace asyncvm::test {

struct WithIrqchip : BareMachine {
    explicit WithIrqchip(bool pit = false)
        : BareMachine(make_kvm_accelerator({.irqchip = true, .pit = pit})), irqchip(*accelerator->irqchip()) {}

    void ready(std::span<const std::byte> code, Mode mode = Mode::real16) {
        load(code, mode);
        BOOST_REQUIRE(next_out() == 'R');
    }

    InterruptController& irqchip;
};

}  // namespace asyncvm::test
