/// ACPI machine language: the few objects that describe devices (ACPI 6.5, chapter 20). Each function makes the code of one
/// object; they nest. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm::board::aml {

using Code = std::vector<std::byte>;

/// One after the other.
[[nodiscard]] Code join(std::initializer_list<Code> parts);

[[nodiscard]] Code integer(std::uint64_t value);
[[nodiscard]] Code string(std::string_view text);
/// A hardware ID: seven characters such as "PNP0501" become EISA's number, all others a string ("QEMU0001").
[[nodiscard]] Code hardware_id(std::string_view id);
/// 255 elements at most.
[[nodiscard]] Code package(std::span<const Code> elements);
[[nodiscard]] Code package(std::initializer_list<Code> elements);

/// Name (path, value). `path` has names of four characters at most, which are filled up with `_`, and may begin with `\`.
[[nodiscard]] Code name(std::string_view path, const Code& value);
[[nodiscard]] Code device(std::string_view name, const Code& contents);
[[nodiscard]] Code scope(std::string_view path, const Code& contents);

// Resource descriptors (ACPI 6.5, 6.4), for resource_template().
/// `size` ports from `first` on, which decode 16 bits of the address.
[[nodiscard]] Code io_ports(std::uint16_t first, std::uint8_t size);
/// An ISA interrupt: edge-triggered, active high. `irq` is less than 16.
[[nodiscard]] Code isa_interrupt(unsigned irq);
/// `size` bytes of memory from `first` on, which can be read and written.
[[nodiscard]] Code memory(std::uint32_t first, std::uint32_t size);
/// `size` bytes of memory from `first` on, below 4 GiB, that a bus passes on to its devices.
[[nodiscard]] Code memory_window(std::uint32_t first, std::uint32_t size);
/// The numbers `first` to `last` of a bus.
[[nodiscard]] Code bus_numbers(std::uint8_t first, std::uint8_t last);
/// A global system interrupt: level-triggered, active high, perhaps shared.
[[nodiscard]] Code level_interrupt(std::uint32_t gsi);
[[nodiscard]] Code resource_template(const Code& descriptors);

}  // namespace asyncvm::board::aml
