#include "mirror.hpp"

#include "../unit/vhost/fake_back_end.hpp"

namespace program_test {

namespace {

asyncvm::vhost::Conduct of_card(Mirror::Conduct conduct) {
    asyncvm::vhost::Conduct card;
    card.is_card = true;
    card.holds = conduct == Mirror::Conduct::keeps_all;
    return card;
}

}  // namespace

struct Mirror::Part {
    Part(const std::string& path, Conduct conduct) : back_end(path, of_card(conduct), [] {}) {}

    asyncvm::vhost::FakeBackEnd back_end;
};

Mirror::Mirror(const std::string& path, Conduct conduct) : part_(std::make_unique<Part>(path, conduct)) {}

Mirror::~Mirror() = default;

bool Mirror::serves() const { return part_->back_end.enabled(0) && part_->back_end.enabled(1); }

}  // namespace program_test
