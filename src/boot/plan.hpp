/// What a guest's files become in memory: the result of a parser, before anything is touched. Pure.
#pragma once

#include <asyncvm/boot.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/memory_map.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "boot/image.hpp"

namespace asyncvm::boot {

/// Something to place in guest memory: bytes of an image or bytes that the planner made, and zeros behind them.
struct Piece {
    std::string name;           ///< for messages: "segment 1 of kernel.elf", "initrd", "zero page"
    std::uint64_t address = 0;  ///< guest-physical
    std::uint64_t size = 0;     ///< bytes in memory
    ImagePtr image{};           ///< not null: the first file_size bytes are those from `offset` on
    std::uint64_t offset = 0;
    std::uint64_t file_size = 0;
    std::vector<std::byte> bytes{};  ///< with a null image: the first bytes
};

/// Addresses that nothing else may be placed in, though the plan puts nothing there: what a kernel unpacks itself to.
struct Reserved {
    std::string name;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
};

/// How CPU 0 starts. Segments and tables follow from the mode; what is not here is 0.
struct Entry {
    Mode mode = Mode::real16;
    std::uint64_t rip = 0;
    std::uint64_t rax = 0, rbx = 0, rdx = 0, rsi = 0;
    std::optional<std::uint64_t> rsp{};  ///< not given: as a flat guest's
    /// The selectors of code and data: a flat guest's 8 and 0x10, or Linux's 0x10 and 0x18.
    bool linux_selectors = false;
    bool reset = false;  ///< the state of a processor after a reset; `rip` is only told
};

struct Plan {
    BootFormat format = BootFormat::flat;
    std::string description;  ///< one line for a person: "Linux 6.1.0, bzImage, protocol 2.15"
    std::vector<Piece> pieces{};
    std::vector<Reserved> reserved{};
    bool elf64 = false;               ///< the kernel is an ELF file of 64 bits, in whatever mode it starts
    std::uint64_t firmware_size = 0;  ///< bytes of GuestMemory::firmware(), for pieces there; 0: none
    Entry entry{};
    std::vector<std::string> notes{};  ///< lines for a person, each worth printing
    std::vector<std::string> facts{};  ///< "key: value" lines for `inspect`: header fields, notes, limits
};

struct Module {
    ImagePtr image;
    std::string arguments;  ///< its command line, as Multiboot has it: the file's name comes first
};

/// What the user has given.
struct Request {
    ImagePtr kernel;
    std::string command_line;
    std::vector<Module> modules;
    ImagePtr initrd;                       ///< null: none
    ImagePtr disk{};                       ///< of a boot sector; null: its file is the disk
    std::uint64_t load = 0x10000;          ///< flat
    std::optional<std::uint64_t> entry{};  ///< flat
    Mode mode = Mode::real16;              ///< flat
};

/// What the board has.
struct Surroundings {
    std::vector<MemoryRange> map;  ///< RAM and what is reserved in it, by address
    std::vector<Piece> tables{};   ///< ACPI, MP and so on: part of each plan
    std::uint64_t rsdp = 0;        ///< guest-physical address; 0: no ACPI
    unsigned cpus = 1;
};

}  // namespace asyncvm::boot
