#define BOOST_TEST_MODULE irq_line
#include <asyncvm/irq_line.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace asyncvm;

namespace {

struct Recorder {
    std::vector<bool> levels;
    IrqPin pin{[this](bool level) { levels.push_back(level); }};
};

using Levels = std::vector<bool>;

}  // namespace

BOOST_AUTO_TEST_CASE(a_line_drives_its_pin) {
    Recorder r;
    IrqLine line(r.pin);
    BOOST_TEST(!r.pin.level());
    line.set(true);
    BOOST_TEST(r.pin.level());
    BOOST_TEST(line.level());
    line.set(false);
    BOOST_TEST(!r.pin.level());
    BOOST_TEST((r.levels == Levels{true, false}));
}

BOOST_AUTO_TEST_CASE(setting_the_level_that_a_line_has_does_nothing) {
    Recorder r;
    IrqLine line(r.pin);
    line.set(false);
    line.set(true);
    line.set(true);
    BOOST_TEST((r.levels == Levels{true}));
}

BOOST_AUTO_TEST_CASE(lines_of_one_pin_are_ored) {
    Recorder r;
    IrqLine first(r.pin);
    IrqLine second(r.pin);
    first.set(true);
    second.set(true);
    first.set(false);
    BOOST_TEST(r.pin.level());
    second.set(false);
    BOOST_TEST(!r.pin.level());
    BOOST_TEST((r.levels == Levels{true, false}));
}

BOOST_AUTO_TEST_CASE(a_line_that_goes_away_deasserts) {
    Recorder r;
    std::optional<IrqLine> line(std::in_place, r.pin);
    line->set(true);
    line.reset();
    BOOST_TEST(!r.pin.level());
    BOOST_TEST((r.levels == Levels{true, false}));
}

BOOST_AUTO_TEST_CASE(a_moved_line_keeps_its_level_and_the_old_one_drives_nothing) {
    Recorder r;
    IrqLine first(r.pin);
    first.set(true);
    IrqLine second(std::move(first));
    BOOST_TEST(second.level());
    BOOST_TEST((r.levels == Levels{true}));
    second.set(false);
    BOOST_TEST((r.levels == Levels{true, false}));
}

BOOST_AUTO_TEST_CASE(a_line_that_is_assigned_to_lets_go_of_its_old_pin) {
    Recorder a;
    Recorder b;
    IrqLine line(a.pin);
    line.set(true);
    IrqLine other(b.pin);
    other.set(true);
    line = std::move(other);
    BOOST_TEST(!a.pin.level());
    BOOST_TEST(b.pin.level());
    BOOST_TEST(line.level());
}

BOOST_AUTO_TEST_CASE(a_line_without_a_pin_is_harmless) {
    IrqLine line;
    line.set(true);
    BOOST_TEST(line.level());
    line.set(false);
    BOOST_TEST(!line.level());
}

BOOST_AUTO_TEST_CASE(a_pin_that_goes_before_its_lines_is_not_called_again) {
    Levels levels;
    auto pin = std::make_unique<IrqPin>([&levels](bool level) { levels.push_back(level); });
    IrqLine line(*pin);
    line.set(true);
    pin.reset();
    line.set(false);
    line.set(true);
    BOOST_TEST((levels == Levels{true}));
}

BOOST_AUTO_TEST_CASE(lines_may_be_set_from_many_threads) {
    std::atomic<int> inside = 0;
    std::atomic<bool> overlapped = false;
    std::atomic<int> changes = 0;
    IrqPin pin([&](bool) {
        if (inside.fetch_add(1) != 0) overlapped = true;
        changes.fetch_add(1);
        inside.fetch_sub(1);
    });
    std::array<std::thread, 4> threads;
    for (auto& thread : threads) {
        thread = std::thread([&pin] {
            IrqLine line(pin);
            for (int i = 0; i < 2'000; ++i) line.set(i % 2 == 0);
        });
    }
    for (auto& thread : threads) thread.join();
    BOOST_TEST(!pin.level());
    BOOST_TEST(!overlapped);
    BOOST_TEST(changes.load() % 2 == 0);
    BOOST_TEST(changes.load() > 0);
}
