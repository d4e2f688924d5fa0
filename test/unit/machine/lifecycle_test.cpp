// The states of a machine: every sequence of requests up to a length, and the ones that matter by name.
#define BOOST_TEST_MODULE lifecycle
#include "machine/lifecycle.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <string>

using asyncvm::Lifecycle;
using State = Lifecycle::State;

namespace {

enum class Request { prepare, run, pause, paused, resume, reset, finish, end };
constexpr std::array all{Request::prepare, Request::run,   Request::pause,  Request::paused,
                         Request::resume,  Request::reset, Request::finish, Request::end};

/// What every step must keep.
void step(Lifecycle& life, Request request, const std::string& path) {
    const State before = life.state();
    const auto pauses = life.pauses();
    const auto fail = [&](const char* what) { BOOST_ERROR(path << ": " << what); };
    switch (request) {
        case Request::prepare:
            life.prepare();
            if (life.state() != (before == State::made ? State::prepared : before))
                fail("prepare is for a machine just made");
            break;
        case Request::run:
            if (life.run() == Lifecycle::Run::forbidden) {
                if (life.state() != before) fail("a second run() changes nothing");
            } else if (life.state() != State::running && life.state() != State::pausing &&
                       life.state() != State::winding_down) {
                fail("run() leads to a guest that runs, rests or ends");
            }
            break;
        case Request::pause: {
            const auto verdict = life.pause();
            if (life.pauses() != pauses + 1) fail("a pause is held");
            if ((verdict == Lifecycle::Pause::at_rest) == life.moving()) fail("a pause is complete when nothing moves");
            if (verdict == Lifecycle::Pause::begins && before != State::running) fail("only a running guest comes to rest");
            break;
        }
        case Request::paused:
            if (life.paused() && (before != State::pausing && before != State::paused)) fail("paused without a pause");
            break;
        case Request::resume:
            if (life.resume() && life.pauses() != 0) fail("the guest goes on although a pause is held");
            if (life.pauses() > 0 && before == State::paused && life.state() != State::paused) fail("a held pause ends");
            break;
        case Request::reset:
            if (life.reset() != (before == State::paused)) fail("reset is for a paused machine");
            break;
        case Request::finish:
            static_cast<void>(life.finish());
            if (life.finish()) fail("the first outcome is the only one");
            if (before == State::running && life.state() != State::winding_down) fail("finish() ends a guest that runs");
            if (before == State::paused && life.state() != State::winding_down) fail("finish() ends a guest that rests");
            break;
        case Request::end:
            life.end();
            if (life.state() != State::ended) fail("end() ends");
            break;
    }
    if (before == State::ended && life.state() != State::ended) fail("nothing follows the end");
    if (before == State::winding_down && life.state() != State::winding_down && life.state() != State::ended) {
        fail("only the end follows an outcome");
    }
    if (life.state() == State::paused && life.pauses() == 0) fail("paused, and nobody wants it");
}

void walk(const Lifecycle& from, const std::string& path, int depth) {
    if (depth == 0) return;
    for (std::size_t index = 0; index < all.size(); ++index) {
        // run() ends only what it has begun.
        if (all[index] == Request::end && !from.moving() && from.state() != State::paused) continue;
        Lifecycle next = from;
        const std::string name = path + static_cast<char>('0' + index);
        step(next, all[index], name);
        walk(next, name, depth - 1);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_sequence_of_seven_requests_breaks_a_rule) { walk(Lifecycle(), "", 7); }

BOOST_AUTO_TEST_CASE(a_pause_before_the_run_holds_the_first_instruction_back) {
    Lifecycle life;
    life.prepare();
    BOOST_CHECK(life.pause() == Lifecycle::Pause::at_rest);
    BOOST_CHECK(life.run() == Lifecycle::Run::begins);
    BOOST_CHECK(life.state() == State::pausing);
    BOOST_TEST(life.paused());
    BOOST_TEST(life.resume());
    BOOST_CHECK(life.state() == State::running);
}

BOOST_AUTO_TEST_CASE(the_guest_runs_when_the_last_of_several_pauses_ends) {
    Lifecycle life;
    static_cast<void>(life.run());
    BOOST_CHECK(life.pause() == Lifecycle::Pause::begins);
    BOOST_CHECK(life.pause() == Lifecycle::Pause::joins);
    BOOST_TEST(life.paused());
    BOOST_CHECK(life.pause() == Lifecycle::Pause::at_rest);
    BOOST_TEST(!life.resume());
    BOOST_TEST(!life.resume());
    BOOST_TEST(life.resume());
    BOOST_TEST(!life.resume());
    BOOST_CHECK(life.state() == State::running);
}

BOOST_AUTO_TEST_CASE(a_machine_that_was_stopped_before_its_run_winds_down_at_once) {
    Lifecycle life;
    BOOST_TEST(life.finish());
    BOOST_CHECK(life.state() == State::made);
    BOOST_CHECK(life.run() == Lifecycle::Run::begins);
    BOOST_CHECK(life.state() == State::winding_down);
}

BOOST_AUTO_TEST_CASE(an_outcome_ends_a_pause_that_is_held) {
    Lifecycle life;
    static_cast<void>(life.run());
    static_cast<void>(life.pause());
    static_cast<void>(life.paused());
    BOOST_TEST(life.finish());
    BOOST_CHECK(life.state() == State::winding_down);
    BOOST_TEST(!life.resume());
    BOOST_CHECK(life.state() == State::winding_down);
}
