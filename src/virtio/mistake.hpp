/// What drivers do wrong, by name. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace asyncvm::virtio {

enum class Mistake : std::uint8_t {
    none,
    // Of the status register.
    order_of_status,
    cleared_status,
    ok_without_features,
    // Of a queue that is set up.
    queue_size,
    queue_alignment,
    queue_address,
    queue_before_features,
    // Of a queue that is running.
    available_index,
    head,
    head_in_use,
    next,
    loop,
    empty_buffer,
    buffer_address,
    buffer_order,
    too_large,
    indirect_not_negotiated,
    indirect_with_next,
    indirect_in_indirect,
    indirect_size,
    indirect_address,
    // What only the device knows.
    request,
};

/// "an index of the available ring has jumped".
[[nodiscard]] std::string_view describe(Mistake mistake) noexcept;

}  // namespace asyncvm::virtio
