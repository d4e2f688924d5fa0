#include <asyncvm/virtio.hpp>

#include <cctype>
#include <string>
#include <utility>

/// Gives each text that a driver sends back in capital letters.
class Shouter : public asyncvm::virtio::Device {
public:
    std::string_view name() const noexcept override { return "virtio-shouter"; }
    std::uint32_t id() const noexcept override { return 0x3f; }
    std::vector<asyncvm::virtio::QueueShape> queues() const override { return {{.size = 64}}; }

    asyncvm::awaitable<void> serve(asyncvm::virtio::Queue& queue) override {
        for (;;) {
            asyncvm::virtio::Chain chain = co_await queue.pop();
            std::string text(chain.readable_size(), ' ');
            chain.read(0, std::as_writable_bytes(std::span(text)));
            if (text.empty()) {
                queue.fail("a text without letters");
                continue;
            }
            for (char& letter : text) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
            const auto written = chain.write(0, std::as_bytes(std::span(text)));
            queue.push(std::move(chain), written);
        }
    }
};
