/// Where a kernel, its modules and the tables that a boot protocol gives it lie: what PVH and Multiboot have in common.
/// Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "boot/elf.hpp"
#include "boot/plan.hpp"
#include "boot/space.hpp"

namespace asyncvm::boot {

/// A module that has been placed.
struct PlacedModule {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    std::string command_line;  ///< the file's name, a blank and its arguments
};

/// Fills a plan. The kernel comes first, then modules, then tables: each takes its place from what is left.
class KernelLayout {
public:
    KernelLayout(const Request& request, const Surroundings& surroundings, Plan& plan);

    /// Places each segment `shift` bytes above its physical address, modulo 2^64. Throws Error(guest_image) that names the
    /// segment, and what is there or that there is no RAM.
    void add_segments(const Elf& elf, std::uint64_t shift = 0);

    /// Places a part of the kernel that has an address.
    void add_kernel(Piece piece);

    /// Places the modules, each on pages of its own, in the lowest free memory behind the kernel. The initrd is one of them:
    /// the last for Multiboot, the first for PVH.
    [[nodiscard]] std::vector<PlacedModule> add_modules(bool initrd_first);

    /// Places a table in low memory, out of the way of kernels that start other CPUs or call a BIOS there. `make` makes its
    /// bytes for an address; their number must not depend on the address. Returns the address.
    std::uint64_t add_table(const std::string& name,
                            const std::function<std::vector<std::byte>(std::uint64_t address)>& make);

    /// Places bytes of the kernel's file that have no address, behind the kernel. Returns the address.
    std::uint64_t add_file_part(const std::string& name, std::uint64_t offset, std::uint64_t size);

    /// Where a push of CPU 0 does no harm, though no protocol promises a stack: the top of 4 KiB in low memory.
    [[nodiscard]] std::uint64_t add_stack();

    /// Interrupt vectors that refuse each call of a BIOS, for kernels that make some in real mode before they do without:
    /// where the machine has a place for a BIOS, and nothing else is there.
    void add_absent_bios();

    /// The file's name and, behind a blank, the command line: as boot loaders give it.
    [[nodiscard]] std::string command_line() const;

    [[nodiscard]] const Request& request() const noexcept { return request_; }
    [[nodiscard]] const Surroundings& surroundings() const noexcept { return surroundings_; }
    [[nodiscard]] Space& space() noexcept { return space_; }
    [[nodiscard]] Plan& plan() noexcept { return plan_; }

private:
    [[nodiscard]] std::uint64_t place_low(const std::string& name, std::uint64_t size);
    void check_header_segment(const ElfSegment& segment, std::uint64_t address) const;

    const Request& request_;
    const Surroundings& surroundings_;
    Plan& plan_;
    Space space_;
    std::uint64_t kernel_end_ = 0;  ///< the first address behind it
};

}  // namespace asyncvm::boot
