/// An accelerator that writes down what its vCPUs ask of their devices.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <array>
#include <memory>
#include <utility>

#include "exit_log.hpp"

namespace asyncvm::test {

class RecordingCpu final : public Cpu {
public:
    RecordingCpu(std::unique_ptr<Cpu> cpu, ExitLog& log) : cpu_(std::move(cpu)), log_(log) {}

    Exit run() override {
        add_last();
        const Exit exit = cpu_->run();
        if (const auto* const port = std::get_if<PortAccess>(&exit)) last_ = *port;
        if (const auto* const mmio = std::get_if<MmioAccess>(&exit)) last_ = *mmio;
        return exit;
    }
    void complete_exit() override {
        add_last();
        cpu_->complete_exit();
    }
    void kick() noexcept override { cpu_->kick(); }
    Registers registers() override { return cpu_->registers(); }
    void set_registers(const Registers& registers) override { cpu_->set_registers(registers); }
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override { return cpu_->exit_rip(); }

private:
    /// Only now is it known what a read has read.
    void add_last() {
        if (last_.size != 0) log_.add(last_);
        last_.size = 0;
    }

    std::unique_ptr<Cpu> cpu_;
    ExitLog& log_;
    Transaction last_{.size = 0};
};

class RecordingAccelerator final : public Accelerator {
public:
    static constexpr unsigned most_cpus = 4;
    using Logs = std::array<ExitLog, most_cpus>;  ///< one for each vCPU

    RecordingAccelerator(std::unique_ptr<Accelerator> accelerator, Logs& logs)
        : accelerator_(std::move(accelerator)), logs_(logs) {}

    [[nodiscard]] std::string_view name() const noexcept override { return accelerator_->name(); }
    void map(const GuestMemory& memory) override { accelerator_->map(memory); }
    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override {
        return std::make_unique<RecordingCpu>(accelerator_->create_cpu(index), logs_.at(index));
    }

private:
    std::unique_ptr<Accelerator> accelerator_;
    Logs& logs_;
};

}  // namespace asyncvm::test
