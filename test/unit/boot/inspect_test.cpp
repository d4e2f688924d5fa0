#include "boot/inspect.hpp"
#include "boot/formats.hpp"
#include "linux_image.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::LinuxImage;
using asyncvm::test::surroundings;

BOOST_AUTO_TEST_CASE(a_linux_kernel_is_told_with_all_its_limits) {
    Request request;
    request.kernel = LinuxImage().image();
    request.initrd = memory_image("initrd.gz", std::vector<std::byte>(10'000));
    request.command_line = "console=ttyS0";
    BOOST_TEST(inspect_plan("vmlinuz", "gzip, 1234 bytes", plan_bzimage(request, surroundings())) ==
               R"(vmlinuz: Linux 6.1.0-test, bzImage, boot protocol 2.15
  packed: gzip, 1234 bytes
  version: 6.1.0-test (someone@example.org) #1 SMP
  protocol: 2.15
  payload: 4096 bytes from 0x800 on in the file
  compressed kernel: 512 bytes from 0x900 on in the file
  entry: 64-bit at payload + 0x200 (used), 32-bit at payload + 0
  pref_address: 0x1000000
  init_size: 0x100000 (1 MiB)
  kernel_alignment: 0x200000, relocatable
  xloadflags: 0x7f, 64-bit entry, initrd may be above 4 GiB
  command line: at most 2047 bytes
  initrd: up to 0x7fffffff (initrd_addr_max)
  starts: 64-bit mode at 0x1000200, rsi = 0x7000
  options: --append TEXT, --initrd FILE
  memory, from the first to the last byte:
          0x7000       0x7fff  the zero page
         0x20000      0x2000d  the command line
         0xe0000      0xe000f  ACPI tables
       0x1000000    0x1000fff  vmlinuz
       0x1001000    0x10fffff  what the kernel unpacks itself to (kept free)
       0x3ffd000    0x3fff70f  the initrd initrd.gz
)");
}

BOOST_AUTO_TEST_CASE(an_old_linux_kernel_is_told_by_what_its_protocol_has) {
    Request request;
    request.kernel = LinuxImage().set<std::uint16_t>(0x206, 0x0206).set<std::uint32_t>(0x230, 0x100000).image();
    BOOST_TEST(inspect_plan("vmlinuz", "", plan_bzimage(request, surroundings())) ==
               R"(vmlinuz: Linux 6.1.0-test, bzImage, boot protocol 2.06
  version: 6.1.0-test (someone@example.org) #1 SMP
  protocol: 2.06
  payload: 4096 bytes from 0x800 on in the file
  entry: 32-bit at payload + 0
  code32_start: 0x100000 (no pref_address and init_size before protocol 2.10)
  kernel_alignment: 0x100000, relocatable
  command line: at most 2047 bytes
  initrd: up to 0x7fffffff (initrd_addr_max)
  starts: 32-bit mode at 0x100000, esi = 0x7000
  options: --append TEXT, --initrd FILE
  memory, from the first to the last byte:
          0x7000       0x7fff  the zero page
         0x20000      0x20000  the command line
         0xe0000      0xe000f  ACPI tables
        0x100000     0x100fff  vmlinuz
        0x101000     0x103fff  what the kernel unpacks itself to (kept free)
)");
}

BOOST_AUTO_TEST_CASE(a_flat_binary_is_told_by_its_place) {
    Request request;
    request.kernel = memory_image("guest.bin", std::vector<std::byte>(5));
    request.entry = 0x10002;
    BOOST_TEST(inspect_plan("guest.bin", "", plan_flat(request, surroundings())) == R"(guest.bin: flat binary of 5 bytes
  starts: 16-bit mode at 0x10002
  options: --load ADDR, --entry ADDR, --mode 16|32|64, --reg NAME=VALUE
  memory, from the first to the last byte:
         0x10000      0x10004  guest.bin
)");
}

BOOST_AUTO_TEST_CASE(registers_are_named_by_the_mode_and_notes_are_printed) {
    Plan plan;
    plan.format = BootFormat::multiboot;
    plan.description = "a kernel";
    plan.entry = {.mode = Mode::protected32, .rip = 0x100000, .rax = 0x2bad'b002, .rbx = 0x9000};
    plan.notes = {"something is odd"};
    BOOST_TEST(inspect_plan("kernel", "", plan) == R"(kernel: a kernel
  starts: 32-bit mode at 0x100000, eax = 0x2badb002, ebx = 0x9000
  options: --append TEXT, --module FILE[,ARGS], --initrd FILE
  note: something is odd
  memory, from the first to the last byte:
)");
}
