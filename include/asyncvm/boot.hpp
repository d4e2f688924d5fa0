/// Booting a guest: its file, whatever its format, and what belongs to it become memory and registers. docs/kernels.md
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/memory_map.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// The formats of guests' files.
enum class BootFormat : std::uint8_t {
    flat,       ///< no header: loaded at an address and entered there
    elf,        ///< ELF without any boot protocol: placed by its program headers, entered at its entry
    pvh,        ///< ELF with Xen's PVH note
    multiboot,  ///< Multiboot 1
    multiboot2,
    bzimage,      ///< a Linux kernel with its setup header
    boot_sector,  ///< 512 bytes or more that a BIOS loads at 0x7c00
    firmware,     ///< what a processor starts after a reset: SeaBIOS and the like
};

/// "flat", "elf", "pvh", "multiboot", "multiboot2", "bzimage", "boot", "firmware".
[[nodiscard]] std::string_view name_of(BootFormat format) noexcept;

/// Throws Error(usage) that says what there is.
[[nodiscard]] BootFormat parse_boot_format(std::string_view text);

/// What a guest is made of.
struct BootRequest {
    std::string path;  ///< a file or a pipe, "-" for the standard input; with `bytes` only a name for messages
    std::optional<std::span<const std::byte>> bytes{};  ///< the file itself, which must live as long as the Boot
    std::optional<BootFormat> format{};                 ///< not given: as the file says, else flat
    std::string command_line{};
    /// Files for Multiboot kernels, each a path and its arguments: "PATH ARGUMENTS" is its command line.
    struct Module {
        std::string path;
        std::string arguments{};
    };
    std::vector<Module> modules{};
    std::string initrd{};  ///< a path; empty: none. For Multiboot kernels it is the last module
    std::string disk{};    ///< a path; empty: a boot sector's file is its disk. Of boot sectors only
    // Of flat guests only:
    std::uint64_t load = 0x10000;          ///< guest-physical address of the first byte
    std::optional<std::uint64_t> entry{};  ///< not given: at `load`
    Mode mode = Mode::real16;
};

/// What a board tells its guest, and a kernel is told where to find it.
struct BootTable {
    std::string name;  ///< for messages: "ACPI tables"
    std::uint64_t address = 0;
    std::vector<std::byte> bytes;
};

/// The machine around a guest.
struct BootSurroundings {
    std::vector<MemoryRange> map;  ///< RAM, and what is reserved in it; by address, without overlaps
    std::vector<BootTable> tables{};
    std::uint64_t rsdp = 0;  ///< where the ACPI tables begin, guest-physical; 0: there are none
    unsigned cpus = 1;
};

namespace boot {
class Image;
struct Plan;
}  // namespace boot

/// A guest's files, opened and looked at. One thread at a time; files stay open as long as the object.
class Boot {
public:
    /// Opens the files, and unpacks a guest that is packed with gzip, xz or zstd, unless its format is given as flat. `most`
    /// is the number of bytes of RAM: larger files are refused. Blocks while a pipe has nothing to give. Throws
    /// Error(guest_image): a file that can't be read, or that can't be a guest, with what to do instead.
    Boot(BootRequest request, std::uint64_t most);
    Boot(const Boot&) = delete;
    Boot& operator=(const Boot&) = delete;
    ~Boot();

    [[nodiscard]] BootFormat format() const noexcept { return format_; }

    /// What INT 13h of a boot sector reads (BiosConfig): BootRequest::disk as it is, or the guest's file, unpacked. Null for
    /// every other format.
    [[nodiscard]] std::shared_ptr<const boot::Image> disk() const noexcept { return disk_; }

    /// Decides where everything goes, and touches nothing. Once before load(). Throws Error(guest_image) that names the
    /// field of a header, the file, or the two that do not fit together.
    void plan(const BootSurroundings& surroundings);

    /// One line for a person: what the file is; and lines worth printing, often none. After plan().
    [[nodiscard]] const std::string& description() const noexcept;
    [[nodiscard]] const std::vector<std::string>& notes() const noexcept;

    /// The mode that CPU 0 starts in. After plan().
    [[nodiscard]] Mode mode() const noexcept;

    /// Whether the guest is an ELF file of 64 bits, which may start in 32 bits (Multiboot, PVH). After plan().
    [[nodiscard]] bool elf64() const noexcept;

    /// Places it all and returns what CPU 0 starts with. Again after a reset: memory that is no part of the guest's files
    /// keeps what is in it. Throws Error(guest_image).
    [[nodiscard]] Registers load(GuestMemory& memory) const;

    /// Several lines: what the file is, its header's fields and limits, how it starts, which options it takes, and where
    /// everything goes. After plan().
    [[nodiscard]] std::string inspect() const;

private:
    BootRequest request_;
    std::uint64_t most_;
    std::shared_ptr<const boot::Image> kernel_;
    std::string packing_;  ///< "gzip, 1234 bytes"; empty: the file is not packed
    BootFormat format_;
    std::shared_ptr<const boot::Image> disk_;
    std::unique_ptr<const boot::Plan> plan_;
};

}  // namespace asyncvm
