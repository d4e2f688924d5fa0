/// The entropy device (virtio 1.2, 5.4).
#include <asyncvm/virtio.hpp>

#include <algorithm>
#include <array>

namespace asyncvm::virtio {

namespace {

class Rng final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-rng"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 4; }
    [[nodiscard]] std::vector<QueueShape> queues() const override { return {{.size = 8}}; }

    void attached(const DeviceContext& context) override { random_ = &context.random; }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        for (;;) {
            Chain chain = co_await queue.pop();
            std::uint64_t written = 0;
            // A driver may take less than it has asked for (5.4.6.2): one request does not keep the device loop busy.
            for (const auto buffer : chain.writable()) {
                const auto part = buffer.first(std::min<std::size_t>(buffer.size(), most_bytes - written));
                random_->fill(part);
                written += part.size();
                if (written == most_bytes) break;
            }
            queue.push(std::move(chain), written);
        }
    }

private:
    static constexpr std::size_t most_bytes = 64 << 10;
    RandomSource* random_ = nullptr;
};

}  // namespace

std::shared_ptr<Device> make_rng() { return std::make_shared<Rng>(); }

}  // namespace asyncvm::virtio
