#include "boot/formats.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>

namespace asyncvm::boot {

namespace {

constexpr std::uint64_t smallest_firmware = 64 << 10;
/// All of it, where a PC has the last 128 KiB: firmware of 256 KiB copies the rest itself once it has found a chipset that
/// it knows, and runs into nothing if there is none.
constexpr std::uint64_t copy_end = 1 << 20;
constexpr std::uint64_t reset_vector = 0xffff'fff0;

}  // namespace

Plan plan_firmware(const Request& request) {
    const Image& image = *request.kernel;
    const std::uint64_t size = image.size();
    if (size < smallest_firmware || size > GuestMemory::most_firmware || size % GuestMemory::page_size != 0) {
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} has {} bytes: firmware has {} to {} KiB, a multiple of {} KiB", image.name(), size,
                                smallest_firmware >> 10, GuestMemory::most_firmware >> 10, GuestMemory::page_size >> 10));
    }
    Plan plan;
    plan.format = BootFormat::firmware;
    plan.description = fmt::format("firmware of {} KiB", size >> 10);
    plan.firmware_size = size;
    plan.pieces = {{.name = image.name(),
                    .address = GuestMemory::firmware_end - size,
                    .size = size,
                    .image = request.kernel,
                    .file_size = size},
                   {.name = "the copy below 1 MiB",
                    .address = copy_end - size,
                    .size = size,
                    .image = request.kernel,
                    .file_size = size}};
    // Table 9-1 leaves the stepping and the model open: a processor of family 6.
    plan.entry = {.mode = Mode::real16, .rip = reset_vector, .rdx = 0x600, .reset = true};
    return plan;
}

}  // namespace asyncvm::boot
