#include <asyncvm/boot.hpp>

#include "boot/apply.hpp"
#include "boot/formats.hpp"
#include "boot/image.hpp"
#include "boot/inspect.hpp"
#include "boot/plan.hpp"
#include "boot/unpack.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace asyncvm {

namespace {

/// Of disks, which need not fit into the memory.
constexpr auto any_size = ~std::uint64_t{0};

/// A boot sector's file may be a disk.
std::uint64_t most_of_file(const BootRequest& request, std::uint64_t most) {
    return request.format == BootFormat::boot_sector ? any_size : most;
}

}  // namespace

Boot::Boot(BootRequest request, std::uint64_t most)
    : request_(std::move(request)),
      most_(most),
      kernel_(request_.bytes ? boot::borrowed_image(boot::image_name(request_.path), *request_.bytes)
                             : boot::open_image(request_.path, most_of_file(request_, most))),
      format_(request_.format.value_or(BootFormat::flat)) {
    if (kernel_->size() == 0) {
        throw Error(ErrorKind::guest_image, fmt::format("{} is empty: there is no guest in it", kernel_->name()));
    }
    // Whoever says "flat" or "firmware" means the bytes as they are.
    if (request_.format != BootFormat::flat && request_.format != BootFormat::firmware) {
        auto [image, packing] = boot::unpack(kernel_, most);
        kernel_ = std::move(image);
        packing_ = std::move(packing);
    }
    if (!request_.format) format_ = boot::detect(*kernel_);
    if (format_ == BootFormat::boot_sector) {
        disk_ = request_.disk.empty() ? kernel_ : boot::open_image(request_.disk, any_size);
    }
}

Boot::~Boot() = default;

void Boot::plan(const BootSurroundings& around) {
    boot::Request request;
    request.kernel = kernel_;
    request.command_line = request_.command_line;
    for (const auto& module : request_.modules) {
        auto image = boot::open_image(module.path, most_);
        request.modules.push_back({std::move(image), module.arguments});
    }
    if (!request_.initrd.empty()) request.initrd = boot::open_image(request_.initrd, most_);
    request.disk = disk_;
    request.load = request_.load;
    request.entry = request_.entry;
    request.mode = request_.mode;
    boot::Surroundings surroundings{.map = around.map, .rsdp = around.rsdp, .cpus = around.cpus};
    for (const BootTable& table : around.tables) {
        surroundings.tables.push_back(
            {.name = table.name, .address = table.address, .size = table.bytes.size(), .bytes = table.bytes});
    }
    plan_ = std::make_unique<const boot::Plan>(boot::plan_guest(format_, request, surroundings));
}

const std::string& Boot::description() const noexcept { return plan_->description; }
const std::vector<std::string>& Boot::notes() const noexcept { return plan_->notes; }

Mode Boot::mode() const noexcept { return plan_->entry.mode; }

bool Boot::elf64() const noexcept { return plan_->elf64; }

Registers Boot::load(GuestMemory& memory) const {
    if (!plan_) throw std::logic_error("a guest is loaded that has not been planned");
    return boot::apply(*plan_, memory);
}

std::string Boot::inspect() const { return boot::inspect_plan(kernel_->name(), packing_, *plan_); }

}  // namespace asyncvm
