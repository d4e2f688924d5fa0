#include "machine/abandoned.hpp"

#include <asio/execution_context.hpp>

#include <mutex>
#include <utility>
#include <vector>

namespace asyncvm {

namespace {

class AbandonedMachines : public asio::execution_context::service {
public:
    using key_type = AbandonedMachines;
    static asio::execution_context::id id;

    explicit AbandonedMachines(asio::execution_context& context) : asio::execution_context::service(context) {}

    void add(std::shared_ptr<void> machine) {
        const std::lock_guard lock(mutex_);
        machines_.push_back(std::move(machine));
    }

private:
    void shutdown() noexcept override {
        std::vector<std::shared_ptr<void>> all;
        {
            const std::lock_guard lock(mutex_);
            all.swap(machines_);
        }
    }

    std::mutex mutex_;
    std::vector<std::shared_ptr<void>> machines_;
};

asio::execution_context::id AbandonedMachines::id;

}  // namespace

void keep_until_loop_ends(asio::io_context& loop, std::shared_ptr<void> machine) {
    asio::use_service<AbandonedMachines>(loop).add(std::move(machine));
}

void keep_for_ever(std::shared_ptr<void> machine) {
    // Never destroyed, not even at the end of main(): a thread may still use them.
    static auto& kept = *new std::vector<std::shared_ptr<void>>;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(machine));
}

}  // namespace asyncvm
