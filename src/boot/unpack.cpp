#include "boot/unpack.hpp"

#include "boot/decoder.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace asyncvm::boot {

namespace {

/// One file's way from its packed bytes to what is in them.
class Unpacking {
public:
    Unpacking(const Image& image, Packing packing, std::uint64_t most)
        : name_(image.name()), packing_(packing), most_(most), packed_(image.size()), left_(packed_) {
        image.read(0, packed_);
    }

    [[nodiscard]] std::vector<std::byte> run() {
        const auto decoder = make_decoder(packing_);
        if (!decoder) {
            fail(fmt::format("is packed with {}, and this asyncvm was built without it: unpack it ({} -d)",
                             name_of(packing_), name_of(packing_)));
        }
        do one_stream(*decoder);
        while (another());
        bytes_.resize(size_);
        return std::move(bytes_);
    }

private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Error(ErrorKind::guest_image, fmt::format("{} {}", name_, what));
    }

    void one_stream(Decoder& decoder) {
        for (;;) {
            make_room();
            std::span<std::byte> room = std::span(bytes_).subspan(size_);
            const std::size_t had_in = left_.size();
            const std::size_t had_room = room.size();
            const auto step = decoder.run(left_, room);
            size_ += had_room - room.size();
            if (size_ > most_) {
                fail(
                    fmt::format("is packed with {} and has more than {} bytes unpacked, but the guest's memory has only {} "
                                "(raise --memory)",
                                name_of(packing_), most_, most_));
            }
            const auto at = packed_.size() - left_.size();
            switch (step) {
                case Decoder::Step::end:
                    return;
                case Decoder::Step::damaged:
                    fail(fmt::format("is packed with {} and damaged, at byte {} or before", name_of(packing_), at));
                case Decoder::Step::memory:
                    fail(fmt::format("is packed with {} in a way that needs too much memory to unpack (more than 256 MiB)",
                                     name_of(packing_)));
                case Decoder::Step::more:
                    break;
            }
            if (left_.empty() && !room.empty() && had_in == 0 && had_room == room.size()) {
                fail(fmt::format("is packed with {} and truncated: it ends after {} bytes, in the middle of a stream",
                                 name_of(packing_), packed_.size()));
            }
        }
    }

    /// One byte more than is allowed, so that a file with just as much is told from a larger one.
    void make_room() {
        if (size_ < bytes_.size()) return;
        const std::uint64_t wanted =
            bytes_.empty() ? std::max<std::uint64_t>(4 * packed_.size(), 1 << 16) : 2 * bytes_.size();
        bytes_.resize(std::min(wanted, most_ + 1));
    }

    /// Goes to the next stream, if there is one.
    bool another() {
        const auto next = std::ranges::find_if(left_, [](std::byte byte) { return byte != std::byte{0}; });
        left_ = left_.subspan(static_cast<std::size_t>(next - left_.begin()));
        if (left_.empty()) return false;
        if (packing_of(left_) == packing_) return true;
        fail(
            fmt::format("is packed with {}, but its last {} bytes are neither zeros nor packed: damaged, or something was "
                        "appended to it (unpack it with {} -d)",
                        name_of(packing_), left_.size(), name_of(packing_)));
    }

    const std::string& name_;
    Packing packing_;
    std::uint64_t most_;
    std::vector<std::byte> packed_;
    std::span<const std::byte> left_;
    std::vector<std::byte> bytes_;
    std::size_t size_ = 0;
};

}  // namespace

Unpacked unpack(ImagePtr image, std::uint64_t most) {
    const Packing packing = packing_of(image->view(0, 8));
    if (packing == Packing::none) return {std::move(image), {}};
    auto bytes = Unpacking(*image, packing, most).run();
    if (bytes.empty()) {
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} is packed with {}, and there is nothing in it", image->name(), name_of(packing)));
    }
    return {memory_image(image->name(), std::move(bytes)), fmt::format("{}, {} bytes", name_of(packing), image->size())};
}

}  // namespace asyncvm::boot
