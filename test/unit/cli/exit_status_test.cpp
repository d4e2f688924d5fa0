#include "cli/exit_status.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace asyncvm::cli;

namespace {

int status_of(Outcome::Kind kind, int guest_code = 0) {
    Outcome outcome;
    outcome.kind = kind;
    outcome.guest_code = guest_code;
    return exit_status(outcome);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(exit_codes)

// These numbers are promises: docs/exit-codes.md.
BOOST_AUTO_TEST_CASE(each_end_has_the_documented_code) {
    BOOST_TEST(status_of(Outcome::Kind::halted) == 0);
    BOOST_TEST(status_of(Outcome::Kind::exited, 0) == 0);
    BOOST_TEST(status_of(Outcome::Kind::exited, 255) == 255);
    BOOST_TEST(status_of(Outcome::Kind::failed) == 70);
    BOOST_TEST(status_of(Outcome::Kind::triple_fault) == 80);
    BOOST_TEST(status_of(Outcome::Kind::powered_off) == 0);
    BOOST_TEST(status_of(Outcome::Kind::reset) == 82);
    BOOST_TEST(status_of(Outcome::Kind::crashed) == 84);
    BOOST_TEST(status_of(Outcome::Kind::differed) == 90);
    Outcome outcome;
    outcome.kind = Outcome::Kind::failed;
    outcome.lacks_memory = true;
    BOOST_TEST(exit_status(outcome) == 72);
    BOOST_TEST(exit_status(ErrorKind::usage) == 64);
    BOOST_TEST(exit_status(ErrorKind::guest_image) == 66);
    BOOST_TEST(exit_status(ErrorKind::host) == 72);
    BOOST_TEST(exit_code::signal_base == 128);
}

BOOST_AUTO_TEST_SUITE_END()
