#include <asyncvm/accelerator.hpp>

#include <memory>

#include "accel/unicorn/cpu.hpp"
#include "accel/unicorn/library.hpp"

namespace asyncvm::unicorn {

namespace {

class UnicornAccelerator final : public Accelerator {
public:
    UnicornAccelerator() { load_library(); }

    [[nodiscard]] std::string_view name() const noexcept override { return "unicorn"; }

    void map(const GuestMemory& memory) override { shared_->memory = &memory; }

    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override {
        return std::make_unique<UnicornCpu>(index, shared_);
    }

private:
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace

}  // namespace asyncvm::unicorn

std::unique_ptr<asyncvm::Accelerator> asyncvm::make_unicorn_accelerator() {
    return std::make_unique<unicorn::UnicornAccelerator>();
}
