/// What a device holds: its view of a Backend.
#pragma once

#include <chardev/backend.hpp>

#include <memory>

namespace asyncvm {

class ChardevHandle : public Chardev {
public:
    /// Without `input` it reads nothing.
    ChardevHandle(std::shared_ptr<Backend> backend, bool input);
    ~ChardevHandle() override;

    std::size_t write_some(std::span<const std::byte> data) noexcept override;
    [[nodiscard]] bool writable() const noexcept override { return backend_->queue().writable(); }
    [[nodiscard]] std::uint64_t room() const noexcept override { return backend_->queue().room(); }
    std::size_t read_some(std::span<std::byte> data) noexcept override;
    [[nodiscard]] bool readable() const noexcept override { return input_ && backend_->queue().readable(); }
    [[nodiscard]] bool connected() const noexcept override { return backend_->queue().connected(); }
    [[nodiscard]] awaitable<void> ready() override;
    [[nodiscard]] awaitable<std::uint64_t> drain() override;
    [[nodiscard]] std::uint64_t undelivered() override { return backend_->undelivered(); }
    [[nodiscard]] Traffic traffic() const override { return {backend_->queue().end(), backend_->queue().input_taken()}; }
    void close() noexcept override;
    [[nodiscard]] std::string description() const override { return backend_->description(); }

private:
    std::shared_ptr<Backend> backend_;
    bool input_;
    bool closed_ = false;
};

}  // namespace asyncvm
