#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/state.hpp>

#include <cstdint>
#include <mutex>
#include <utility>

/// A mailbox: a read waits until somebody has posted a number, and gives it. IRQ 5 is high while there is one.
class Mailbox : public asyncvm::Device {
public:
    std::string_view name() const noexcept override { return "mailbox"; }

    void attached(const asyncvm::DeviceContext& context) override { irq_ = context.irq(5); }

    asyncvm::awaitable<void> read(asyncvm::Access& access) override {
        for (;;) {
            const auto seen = posted_.generation();
            access.data = exchange(0);
            if (access.data != 0) co_return;
            co_await posted_.wait(seen);  // only the vCPU that reads waits
        }
    }

    asyncvm::awaitable<void> write(const asyncvm::Access& access) override {
        post(access.data);
        co_return;
    }

    /// Any thread.
    void post(std::uint64_t letter) {
        exchange(letter);
        posted_.notify();
    }

    void reset() override { exchange(0); }

    void save(asyncvm::StateWriter& writer) override {
        const std::lock_guard lock(mutex_);
        save_state(writer, name(), registers_);
    }

    void restore(asyncvm::StateReader& reader) override {
        Registers restored;
        restore_state(reader, name(), restored);
        post(restored.letter);
    }

private:
    struct Registers {
        static constexpr unsigned state_version = 1;
        std::uint64_t letter = 0;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("letter", letter);
        }
    };

    std::uint64_t exchange(std::uint64_t letter) {
        const std::lock_guard lock(mutex_);
        irq_.set(letter != 0);
        return std::exchange(registers_.letter, letter);
    }

    std::mutex mutex_;  // post() and the accesses are on different threads
    Registers registers_;
    asyncvm::IrqLine irq_;
    asyncvm::Event posted_;
};
