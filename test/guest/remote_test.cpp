// Devices in other processes, with real guests: registers, strings, memory, several vCPUs, resets, pauses.
#include <boost/test/unit_test.hpp>

#include "guest_code.hpp"
#include "remote_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

// Reads and writes of the scratch register in all widths; what they give goes to port 0x10.
GUEST_CODE(guest_of_widths, 16, R"(
    mov $0x300, %dx
    inl %dx, %eax
    outl %eax, $0x10
    inw %dx, %ax
    outw %ax, $0x10
    mov $0x303, %dx
    inb %dx, %al
    outb %al, $0x10
    mov $0xaa, %al
    outb %al, %dx
    mov $0x300, %dx
    mov $0xbbcc, %ax
    outw %ax, %dx
    inl %dx, %eax
    outl %eax, $0x10
    hlt
)")

// A string into the FIFO, its length, and out again.
GUEST_CODE(guest_of_strings, 16, R"(
    mov %cs, %ax
    mov %ax, %ds
    mov %ax, %es
    mov $(text - 0b), %si
    mov $40, %cx
    mov $0x304, %dx
    cld
    rep outsb
    inc %dx
    inb %dx, %al
    outb %al, $0x10
    dec %dx
    mov $(buffer - 0b), %di
    mov $40, %cx
    rep insb
    movb (buffer - 0b), %al
    outb %al, $0x10
    movb (buffer - 0b + 39), %al
    outb %al, $0x10
    hlt
text:
    .ascii "0123456789012345678901234567890123456789"
buffer:
    .skip 64
)")

// Writes 1 to the first byte, and shows it for ever.
GUEST_CODE(guest_that_polls, 16, R"(
    mov $0x300, %dx
    mov $1, %al
    outb %al, %dx
1:  inl %dx, %eax
    outl %eax, $0x10
    jmp 1b
)")

// Has the device add one to eight bytes of memory at 0x8000, and shows the first and what became of it.
GUEST_CODE(guest_of_memory, 16, R"(
    xor %ax, %ax
    mov %ax, %ds
    movb $0x40, 0x8000
    movb $0x50, 0x8007
    mov $0x308, %dx
    mov $0x8000, %eax
    outl %eax, %dx
    mov $0x30c, %dx
    mov $8, %al
    outb %al, %dx
    inb %dx, %al
    outb %al, $0x10
    movb 0x8000, %al
    outb %al, $0x10
    movb 0x8007, %al
    outb %al, $0x10
    mov $0x308, %dx
    mov $0x7fffffff, %eax
    outl %eax, %dx
    mov $0x30c, %dx
    mov $1, %al
    outb %al, %dx
    inb %dx, %al
    outb %al, $0x10
    hlt
)")

// Writes once.
GUEST_CODE(guest_that_writes, 16, R"(
    mov $0x300, %dx
    mov $1, %al
    outb %al, %dx
    outb %al, $0x10
    hlt
)")

BOOST_FIXTURE_TEST_SUITE(a_device_in_another_process, RemoteFixture)

BOOST_AUTO_TEST_CASE(has_registers_of_every_width) {
    attach("name=fifo");
    test.load(guest_of_widths(), Mode::real16);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    expect({0x12345678, 0x5678, 0x12, 0xaa34bbcc});
    BOOST_TEST(device->name() == "remote fifo");
    BOOST_TEST(all_lines() == "");
}

BOOST_AUTO_TEST_CASE(has_its_writes_posted_if_it_wants_that) {
    attach("caps=8");
    test.load(guest_of_widths(), Mode::real16);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    expect({0x12345678, 0x5678, 0x12, 0xaa34bbcc});
}

BOOST_AUTO_TEST_CASE(takes_strings_whole_or_in_pieces) {
    attach("data=16");
    test.load(guest_of_strings(), Mode::real16);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    expect({40, '0', '9'});
}

BOOST_AUTO_TEST_CASE(reaches_memory_as_far_as_it_may) {
    struct Case {
        RemoteSpec::Memory memory;
        const char* words;
        std::vector<std::uint64_t> values;
    };
    for (const auto& [memory, words, values] : {Case{RemoteSpec::Memory::none, "caps=0", {1, 0x40, 0x50, 1}},
                                                Case{RemoteSpec::Memory::read_only, "caps=1", {1, 0x40, 0x50, 1}},
                                                Case{RemoteSpec::Memory::read_write, "caps=3", {0, 0x41, 0x51, 1}}}) {
        RemoteFixture one;
        one.spec.memory = memory;
        one.attach(words);
        one.test.load(guest_of_memory(), Mode::real16);
        BOOST_TEST((one.test.run().kind == Outcome::Kind::halted));
        one.expect(values);
    }
}

BOOST_AUTO_TEST_CASE(that_takes_what_it_is_not_offered_is_refused) {
    attach("caps=2");
    test.load(guest_of_widths(), Mode::real16);
    bool refused = false;
    const auto work = [](RemoteDevice& remote, asio::io_context& on) -> awaitable<void> { co_await remote.ready(on); };
    try {
        await(work(*device, loop));
    } catch (const Error& error) {
        refused = error.what() == "cannot use the device at '" + spec.place +
                                      "': it takes capabilities 0x2, and 0x8 are offered (exit code 0)";
        BOOST_TEST(refused, error.what());
        BOOST_TEST((error.kind() == ErrorKind::host));
    }
    BOOST_TEST(refused);
}

BOOST_AUTO_TEST_CASE(that_speaks_before_it_is_asked_is_refused) {
    attach("conduct=early");
    const auto work = [](RemoteDevice& remote, asio::io_context& on) -> awaitable<void> { co_await remote.ready(on); };
    BOOST_CHECK_THROW(await(work(*device, loop)), Error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(two_vcpus_have_their_accesses_under_way_at_once) {
    // The process answers neither before it has both.
    RemoteFixture one(2);
    one.attach("conduct=pairs requests=2");
    one.test.load(guest_that_writes(), Mode::real16);
    BOOST_TEST((one.test.run().kind == Outcome::Kind::halted));
    one.expect({1, 1});
    BOOST_TEST(one.all_lines() == "");
}

BOOST_AUTO_TEST_CASE(two_vcpus_take_turns_with_a_device_that_takes_one_access) {
    RemoteFixture one(2);
    one.attach();
    one.test.load(guest_of_strings(), Mode::real16);
    BOOST_TEST((one.test.run().kind == Outcome::Kind::halted));
    BOOST_TEST(one.notes->values().size() == 6u);
    BOOST_TEST(one.all_lines() == "");
}

BOOST_AUTO_TEST_CASE(a_process_maps_the_memory) {
    RemoteFixture one(1, make_accelerator_under_test(), [](MachineConfig& config) { config.memory_share = true; });
    one.spec.memory = RemoteSpec::Memory::map;
    one.attach("caps=4");
    one.test.load(guest_of_memory(), Mode::real16);
    BOOST_TEST((one.test.run().kind == Outcome::Kind::halted));
    one.expect({0, 0x41, 0x51, 1});
    RemoteFixture unshared;
    unshared.spec.memory = RemoteSpec::Memory::map;
    unshared.attach("caps=4");
    unshared.test.load(guest_of_memory(), Mode::real16);
    BOOST_CHECK_THROW(unshared.test.run(), Error);
}

BOOST_FIXTURE_TEST_SUITE(in_a_reset, RemoteFixture)

BOOST_AUTO_TEST_CASE(the_process_is_reset_and_changes_nothing_meanwhile) {
    spec.memory = RemoteSpec::Memory::read_write;
    spec.irqs = {5};
    attach("conduct=busy-reset caps=3");
    test.load(guest_that_polls(), Mode::real16);
    test.start();
    until([&] { return !notes->values().empty(); });
    BOOST_TEST(notes->values().front() == 0x12345601u);
    const std::size_t before = notes->values().size();
    await(test.machine.reset());
    until([&] { return notes->values().size() > before + 2; });
    BOOST_TEST(notes->values().back() == 0x12345601u);
    std::byte byte{};
    (void)test.machine.memory().read(0x8000, {&byte, 1});
    BOOST_TEST(std::to_integer<int>(byte) == 0);
    stop();
    BOOST_TEST(all_lines() == "");
}

BOOST_AUTO_TEST_CASE(a_process_that_does_not_answer_is_given_up) {
    spec.timeout = std::chrono::milliseconds(200);
    attach("conduct=mute-reset");
    test.load(guest_that_polls(), Mode::real16);
    test.start();
    until([&] { return !notes->values().empty(); });
    await(test.machine.reset());
    until([&] { return count("is gone: it has not answered DEVICE_RESET for 200 ms") >= 1; });
    stop();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_CASE(the_memory_of_a_paused_machine_stands, RemoteFixture) {
    spec.memory = RemoteSpec::Memory::read_write;
    attach("conduct=scribbles caps=3");
    // In a pause, and on the thread that may have served the device last.
    const auto byte = [this] {
        std::byte value{};
        await(test.machine.call(0, [&](Cpu&) { (void)test.machine.memory().read(0x8000, {&value, 1}); }));
        return std::to_integer<int>(value);
    };
    const auto byte_now = [&] {
        const Pause held = pause();
        return byte();
    };
    test.load(guest_that_polls(), Mode::real16);
    test.start();
    const auto changes = [&] {
        const int before = byte_now();
        until([&] { return byte_now() != before; });
    };
    changes();
    {
        const Pause held = pause();
        const int before = byte();
        asio::steady_timer timer(loop, std::chrono::milliseconds(100));
        bool waited = false;
        timer.async_wait([&waited](std::error_code) { waited = true; });
        until([&] { return waited; });
        BOOST_TEST(byte() == before);
    }
    changes();
    stop();
    BOOST_TEST(all_lines() == "");
}
