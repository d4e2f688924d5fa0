/// The memory balloon (virtio 1.2, 5.5), for what it gives without anybody's doing: pages that the guest does not use go
/// back to the host.
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace asyncvm::virtio {

namespace {

constexpr std::uint64_t feature_deflate_on_oom = 1u << 2;
constexpr std::uint64_t feature_reporting = 1u << 5;

// The specification gives the queue of reported pages the number 4. Linux, and QEMU, number the queues that there are:
// without statistics and hints it is their third.
constexpr unsigned inflate_queue = 0;
constexpr unsigned deflate_queue = 1;
constexpr unsigned balloon_queues = 5;

struct BalloonState {
    std::uint32_t actual = 0;  ///< pages that the driver says are in the balloon

    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("actual", actual);
    }
};

class Balloon final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-balloon"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 5; }
    [[nodiscard]] std::uint64_t features() const override { return feature_deflate_on_oom | feature_reporting; }
    /// Linux wants to report 32 ranges at a time.
    [[nodiscard]] std::vector<QueueShape> queues() const override {
        return std::vector<QueueShape>(balloon_queues, {.size = 128});
    }

    /// num_pages, which stays 0, and actual.
    [[nodiscard]] std::vector<std::byte> config() const override {
        std::vector<std::byte> bytes(8);
        std::memcpy(bytes.data() + actual_at, &state_.actual, sizeof state_.actual);
        return bytes;
    }
    void write_config(std::size_t offset, std::span<const std::byte> bytes) override {
        auto config = this->config();
        std::ranges::copy(bytes, config.begin() + static_cast<std::ptrdiff_t>(offset));
        std::memcpy(&state_.actual, config.data() + actual_at, sizeof state_.actual);
    }

    void attached(const DeviceContext& context) override { memory_ = &context.memory; }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        for (;;) {
            Chain chain = co_await queue.pop();
            if (queue.index() == inflate_queue) {
                co_await take_pages(chain);
            } else if (queue.index() != deflate_queue) {
                for (std::size_t i = 0; i < chain.writable().size(); ++i) {
                    memory_->give_back(chain.writable_addresses()[i], chain.writable()[i].size());
                }
            }
            queue.push(std::move(chain), 0);
        }
    }

    void reset() override { state_ = {}; }
    void save(StateWriter& writer) override { save_state(writer, name(), state_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), state_); }

private:
    static constexpr std::size_t actual_at = 4;

    /// The chain holds numbers of pages of 4 KiB.
    awaitable<void> take_pages(const Chain& chain) {
        std::array<std::uint32_t, 256> numbers{};
        for (std::uint64_t offset = 0;;) {
            const auto bytes = std::as_writable_bytes(std::span(numbers));
            const std::size_t count = chain.read(offset, bytes) / sizeof(std::uint32_t);
            if (count == 0) co_return;
            for (const std::uint32_t number : std::span(numbers).first(count)) {
                memory_->give_back(number * GuestMemory::page_size, GuestMemory::page_size);
            }
            offset += bytes.size();
            // A long list must not keep the loop from its other work.
            co_await asio::post(use_awaitable);
        }
    }

    GuestMemory* memory_ = nullptr;
    BalloonState state_;
};

}  // namespace

std::shared_ptr<Device> make_balloon() { return std::make_shared<Balloon>(); }

}  // namespace asyncvm::virtio
