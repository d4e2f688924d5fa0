#include "boot/unbootable.hpp"
#include "boot/formats.hpp"
#include "linux_image.hpp"
#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::boot;
using namespace std::string_view_literals;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

/// `bytes` at `offset` of a file that is otherwise full of zeros.
std::string file_with(std::size_t offset, std::string_view bytes, std::size_t size = 0x9000) {
    std::string file(std::max(size, offset + bytes.size()), '\0');
    file.replace(offset, bytes.size(), bytes);
    return file;
}

ImagePtr image_of(std::string_view file) {
    const auto bytes = std::as_bytes(std::span(file));
    return memory_image("FILE", {bytes.begin(), bytes.end()});
}

std::string refusal(std::string_view file) {
    return message_of(ErrorKind::guest_image, [&] { static_cast<void>(detect(*image_of(file))); });
}

bool is_accepted(std::string_view file) { return refusal(file) == "nothing was thrown"; }

std::string disk_with(unsigned char status, unsigned char type, std::uint32_t start, std::uint32_t size) {
    std::string disk(1024, '\0');
    disk[0x1fe] = '\x55';
    disk[0x1ff] = '\xaa';
    disk[0x1be] = static_cast<char>(status);
    disk[0x1c2] = static_cast<char>(type);
    std::memcpy(disk.data() + 0x1c6, &start, 4);
    std::memcpy(disk.data() + 0x1ca, &size, 4);
    return disk;
}

}  // namespace

BOOST_AUTO_TEST_CASE(files_of_other_kinds_are_refused_by_what_they_are) {
    struct {
        std::string file;
        const char* what;
        const char* advice;
    } const files[] = {
        {file_with(0x8001, "CD001"), "is an ISO 9660 image of a CD", "take the kernel out of it"},
        {file_with(0, "QFI\xfb\0\0\0\3"sv), "is a qcow2 disk image", "--format boot"},
        {file_with(0, "KDMV"), "is a VMDK disk image", "copy the kernel out of it"},
        {file_with(0, "conectix"), "is a VHD disk image", "copy the kernel out of it"},
        {file_with(0, "vhdxfile"), "is a VHDX disk image", "copy the kernel out of it"},
        {file_with(0x40, "\x7f\x10\xda\xbe"), "is a VDI disk image", "copy the kernel out of it"},
        {file_with(512, "EFI PART"), "is a disk image with a GUID partition table", "copy the kernel out of it"},
        {file_with(0, "hsqs"), "is a squashfs file system", "unpack it"},
        {file_with(257, "ustar"), "is a tar archive", "unpack it"},
        {file_with(0, "PK\x03\x04"), "is a zip archive", "unpack it"},
        {file_with(0, "7z\xbc\xaf\x27\x1c"), "is a 7z archive", "unpack it"},
        {file_with(0, "!<arch>\ndebian-binary   "), "is a Debian package", "dpkg -x FILE DIR"},
        {file_with(0, "!<arch>\nguest.o/"), "is an ar archive", "link it to a program first"},
        {file_with(0, "\xed\xab\xee\xdb"), "is an RPM package", "unpack it"},
        {file_with(0, "070701"), "is a cpio archive, an initial RAM disk", "give the kernel, and this file with --initrd"},
        {file_with(0, "070702"), "is a cpio archive, an initial RAM disk", "give the kernel, and this file with --initrd"},
        {file_with(0, "070707"), "is a cpio archive, an initial RAM disk", "give the kernel, and this file with --initrd"},
        {file_with(0, "BZh91AY&SY"), "is packed with bzip2", "bzip2 -d"},
        {file_with(0, "\x04\x22\x4d\x18"), "is packed with lz4", "lz4 -d"},
        {file_with(0, "\x02\x21\x4c\x18"), "is packed with lz4", "lz4 -d"},
        {file_with(0, "\x89LZO\0\r\n\x1a\n"sv), "is packed with lzop", "lzop -d"},
        {file_with(0, "\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff"sv), "is packed with lzma", "xz --format=lzma -d"},
        {file_with(0, "\xcf\xfa\xed\xfe"), "is a Mach-O program", "link it as ELF"},
        {file_with(0, "\xce\xfa\xed\xfe"), "is a Mach-O program", "link it as ELF"},
        {file_with(0, "\xca\xfe\xba\xbe"), "is a Mach-O program (macOS) or a Java class", "link it as ELF"},
        {file_with(0, "\x27\x05\x19\x56"), "is a U-Boot image", "dumpimage"},
        {file_with(0, "\xd0\x0d\xfe\xed"), "is a device tree or a U-Boot FIT image", "dumpimage"},
        {file_with(0, "ANDROID!"), "is an Android boot image", "take kernel and RAM disk out of it"},
        {"#!/bin/sh\nexec true\n", "is a script", "give the program"},
        {":10010000214601360121470136007EFE09D2190140\r\n", "is Intel hex", "objcopy -I ihex -O binary FILE guest.bin"},
        {"S00F000068656C6C6F202020202000003C\n", "is Motorola S-records", "objcopy -I srec -O binary FILE guest.bin"},
        {disk_with(0x80, 0x83, 2048, 100000), "is a disk image with a partition table", "--format boot"},
        {"start:\n\tmov al, 'x'\n\tout 0x3f8, al\n", "is text", "assemble or compile it first"},
    };
    for (const auto& [file, what, advice] : files) {
        const auto message = refusal(file);
        BOOST_TEST(contains(message, std::string("FILE ") + what), message << " should say " << what);
        BOOST_TEST(contains(message, advice), message << " should say " << advice);
        BOOST_TEST(contains(message, "(--format flat runs its bytes as they are)"), message);
    }
}

BOOST_AUTO_TEST_CASE(a_pe_program_is_refused_unless_it_is_a_linux_kernel) {
    std::string program = file_with(0, "MZ");
    program[0x3c] = '\x80';
    BOOST_TEST(is_accepted(program));
    program.replace(0x80, 4, "PE\0\0"sv);
    BOOST_TEST(contains(refusal(program),
                        "FILE is a PE program, for EFI or Windows, and has no Linux setup header: there is "
                        "no EFI here"));
    program.replace(0x3c, 4, "\xff\xff\xff\xff");
    BOOST_TEST(is_accepted(program));
    test::LinuxImage kernel;
    kernel.set<std::uint16_t>(0, 0x5a4d).set<std::uint32_t>(0x3c, 0x40).set<std::uint32_t>(0x40, 0x4550);
    BOOST_TEST((detect(*kernel.image()) == BootFormat::bzimage));
}

BOOST_AUTO_TEST_CASE(what_only_looks_like_another_kind_is_a_flat_binary) {
    // A hex line with a wrong checksum, a wrong length, something behind it; each without a newline, which would be text.
    BOOST_TEST(is_accepted(file_with(0, ":10010000214601360121470136007EFE09D2190141\r\n")));
    BOOST_TEST(is_accepted(file_with(0, ":11010000214601360121470136007EFE09D2190140\r\n")));
    BOOST_TEST(is_accepted(file_with(0, ":10010000214601360121470136007EFE09D2190140x")));
    BOOST_TEST(is_accepted(file_with(0, "S00F000068656C6C6F202020202000003D\n")));
    BOOST_TEST(is_accepted(file_with(0, "BZh9\xcd\x10")));
    BOOST_TEST(is_accepted(file_with(5, "\xff\xff\xff\xff\xff\xff\xff\xff")));
    BOOST_TEST(is_accepted("hello"));  // no line: may be code
    BOOST_TEST(is_accepted("hello\n\x01"));
    BOOST_TEST(is_accepted(disk_with(0x80, 0x83, 2048, 100000).substr(0, 512)));
    BOOST_TEST(is_accepted(disk_with(0x12, 0x83, 2048, 100000)));
    BOOST_TEST(is_accepted(disk_with(0x80, 0, 2048, 100000)));
    BOOST_TEST(is_accepted(disk_with(0, 0x83, 0, 100000)));
    BOOST_TEST(is_accepted(disk_with(0, 0x83, 2048, 0)));
}

BOOST_AUTO_TEST_CASE(a_program_whose_bytes_are_all_printable_is_no_text) {
    // mov al, 'H'; out 0xf1, al; mov al, 10; out 0xf1, al -- and a source with a word in UTF-8
    BOOST_TEST(is_accepted("\xb0H\xe6\xf1\xb0\n\xe6\xf1"));
    BOOST_TEST(contains(refusal("; gr\xc3\xbc\xc3\x9f\x65\nhlt\n"), "is text"));
}

BOOST_AUTO_TEST_CASE(no_file_is_read_past_its_end) {
    std::mt19937 random(3);
    const std::string_view starts[] = {"MZ", ":", "S1", "!<arch>\n", "#!", "PK\x03\x04", "QFI\xfb", "BZh91AY&SY", ":020000"};
    for (int i = 0; i < 3000; ++i) {
        // Of its own size on the heap, so that a sanitizer sees the end.
        std::vector<std::byte> bytes(random() % 600);
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(i % 3 == 0 ? "0123456789ABCDEF\n"[random() % 17] : random());
        const auto start = std::as_bytes(std::span(starts[random() % std::size(starts)]));
        std::copy_n(start.begin(), std::min(start.size(), bytes.size()), bytes.begin());
        const auto image = memory_image("FILE", std::move(bytes));
        try {
            refuse_unbootable(*image);
        } catch (const Error& error) {
            BOOST_REQUIRE((error.kind() == ErrorKind::guest_image));
        }
    }
}
