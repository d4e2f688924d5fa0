#include "devices/fw_cfg_registers.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::size_t most_files = 0x4000 - FwCfgRegisters::first_file;  // keys have 14 bits

void put_little(std::vector<std::byte>& bytes, std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
}

void put_big(std::vector<std::byte>& bytes, std::uint64_t value, unsigned size) {
    for (unsigned i = size; i-- > 0;) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::vector<std::byte> little(std::uint64_t value, unsigned size) {
    std::vector<std::byte> bytes;
    put_little(bytes, value, size);
    return bytes;
}

void put_text(std::vector<std::byte>& bytes, std::string_view text, std::size_t size) {
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
    bytes.resize(bytes.size() + size - text.size());
}

void check(const FwCfgFile& file) {
    if (file.name.empty() || file.name.size() > FwCfgRegisters::longest_name) {
        throw Error(ErrorKind::usage,
                    fmt::format("the fw_cfg file '{}': a name has 1 to {} bytes", file.name, FwCfgRegisters::longest_name));
    }
    if (file.contents.size() > std::numeric_limits<std::uint32_t>::max()) {
        throw Error(ErrorKind::usage, fmt::format("the fw_cfg file '{}' has {} bytes, which is more than 4 GiB", file.name,
                                                  file.contents.size()));
    }
}

}  // namespace

FwCfgRegisters::FwCfgRegisters(std::uint64_t memory, unsigned processors, std::vector<FwCfgFile> files) {
    if (files.size() > most_files) {
        throw Error(ErrorKind::usage, fmt::format("fw_cfg has room for {} files, not for {}", most_files, files.size()));
    }
    put_text(items_[signature], "QEMU", 4);
    items_[id] = little(1, 4);  // the traditional interface, and no DMA
    items_[ram_size] = little(memory, 8);
    items_[cpus] = little(processors, 2);
    items_[most_cpus] = little(processors, 2);
    std::ranges::sort(files, {}, &FwCfgFile::name);
    auto& list = items_[directory];
    put_big(list, files.size(), 4);
    std::uint16_t key = first_file;
    const FwCfgFile* before = nullptr;
    for (auto& file : files) {
        check(file);
        if (before != nullptr && before->name == file.name) {
            throw Error(ErrorKind::usage, fmt::format("the fw_cfg file '{}' is there twice", file.name));
        }
        before = &file;
        put_big(list, file.contents.size(), 4);
        put_big(list, key, 2);
        put_big(list, 0, 2);
        put_text(list, file.name, longest_name + 1);
        items_[key] = std::move(file.contents);
        ++key;
    }
}

void FwCfgRegisters::select(std::uint16_t key) noexcept {
    key_ = key & key_bits;
    position_ = 0;
}

void FwCfgRegisters::read(std::span<std::byte> bytes) noexcept {
    std::ranges::fill(bytes, std::byte{0});
    const auto item = items_.find(key_);
    if (item == items_.end() || position_ >= item->second.size()) return;
    const auto rest = std::span(item->second).subspan(static_cast<std::size_t>(position_));
    const auto there = rest.first(std::min(rest.size(), bytes.size()));
    std::ranges::copy(there, bytes.begin());
    position_ += there.size();
}

FwCfgFile fw_cfg_serial_console(std::uint16_t port) {
    return {.name = "etc/sercon-port",
            .contents = {static_cast<std::byte>(port), static_cast<std::byte>(port >> 8)}};  // little-endian
}

FwCfgFile fw_cfg_memory_map(std::span<const MemoryRange> map) {
    FwCfgFile file{.name = "etc/e820", .contents = {}};
    for (const auto& range : map) {
        put_little(file.contents, range.address, 8);
        put_little(file.contents, range.size, 8);
        put_little(file.contents, static_cast<std::uint32_t>(range.kind), 4);
    }
    return file;
}

}  // namespace asyncvm
