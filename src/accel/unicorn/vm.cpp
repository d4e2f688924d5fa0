#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <memory>

#include "accel/unicorn/containment.hpp"
#include "accel/unicorn/cpu.hpp"
#include "accel/unicorn/library.hpp"

namespace asyncvm::unicorn {

namespace {

class UnicornAccelerator final : public Accelerator {
public:
    explicit UnicornAccelerator(const UnicornOptions& options) {
        if (options.contain_faults) contain_faults();
        load_library();
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "unicorn"; }

    void map(const GuestMemory& memory) override {
        shared_->memory = &memory;
        memory.observe({shared_, &shared_->host_writes});
    }

    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override {
        return std::make_unique<UnicornCpu>(index, shared_);
    }

    /// The vCPUs share nothing but the memory.
    [[nodiscard]] VmState save_state() override {
        VmState state;
        state.accelerator = name();
        return state;
    }
    void restore_state(const VmState& state) override {
        if (state.accelerator != name()) {
            throw Error(ErrorKind::usage,
                        fmt::format("the state was saved on {}, and Unicorn can't go on with it", state.accelerator));
        }
    }

private:
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace

}  // namespace asyncvm::unicorn

std::unique_ptr<asyncvm::Accelerator> asyncvm::make_unicorn_accelerator(const UnicornOptions& options) {
    return std::make_unique<unicorn::UnicornAccelerator>(options);
}
