/// The observers of one machine.
#pragma once

#include <asyncvm/observer.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace asyncvm {

/// Filled before the run; after that it may be used on any thread. A path that must stay fast asks empty() first, once.
class Observers {
public:
    explicit Observers(std::vector<std::shared_ptr<Observer>> observers) : all_(std::move(observers)) {}

    void add(std::shared_ptr<Observer> observer) { all_.push_back(std::move(observer)); }

    [[nodiscard]] bool empty() const noexcept { return all_.empty(); }

    /// Calls `hook` of each, in the order in which they were given: `notify(&Observer::interrupt, gsi, level)`.
    template <typename... Parameters, typename... Arguments>
    void notify(void (Observer::*hook)(Parameters...) noexcept, const Arguments&... arguments) const noexcept {
        for (const auto& observer : all_) ((*observer).*hook)(arguments...);
    }

private:
    std::vector<std::shared_ptr<Observer>> all_;
};

}  // namespace asyncvm
