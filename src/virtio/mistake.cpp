#include "virtio/mistake.hpp"

namespace asyncvm::virtio {

std::string_view describe(Mistake mistake) noexcept {
    switch (mistake) {
        case Mistake::none:
            return "nothing is wrong";
        case Mistake::order_of_status:
            return "FEATURES_OK comes before ACKNOWLEDGE and DRIVER";
        case Mistake::cleared_status:
            return "a bit of the status is cleared without a reset";
        case Mistake::ok_without_features:
            return "DRIVER_OK comes before FEATURES_OK";
        case Mistake::queue_size:
            return "the size of the queue is no power of two, or too large";
        case Mistake::queue_alignment:
            return "an address of the queue is not aligned";
        case Mistake::queue_address:
            return "the queue is not in the guest's memory";
        case Mistake::queue_before_features:
            return "the queue is made ready before FEATURES_OK";
        case Mistake::available_index:
            return "the index of the available ring has jumped";
        case Mistake::head:
            return "the available ring names a descriptor that the queue does not have";
        case Mistake::head_in_use:
            return "the available ring names a chain that the device has already";
        case Mistake::next:
            return "a descriptor names a next one that its table does not have";
        case Mistake::loop:
            return "a chain of descriptors is too long, or a loop";
        case Mistake::empty_buffer:
            return "a buffer has no bytes";
        case Mistake::buffer_address:
            return "a buffer is not in the guest's memory";
        case Mistake::buffer_order:
            return "a buffer to read follows one to write";
        case Mistake::too_large:
            return "the buffers of a chain have 4 GiB or more";
        case Mistake::indirect_not_negotiated:
            return "an indirect table is used, which was not negotiated";
        case Mistake::indirect_with_next:
            return "a descriptor has an indirect table and a next descriptor";
        case Mistake::indirect_in_indirect:
            return "an indirect table is in an indirect table";
        case Mistake::indirect_size:
            return "an indirect table has no whole number of descriptors";
        case Mistake::indirect_address:
            return "an indirect table is not in the guest's memory";
        case Mistake::request:
            return "a request breaks the rules of the device";
    }
    return "unknown";
}

}  // namespace asyncvm::virtio
