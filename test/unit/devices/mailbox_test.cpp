// The device that docs/devices/README.md shows.
#define BOOST_TEST_MODULE mailbox
#include "mailbox.hpp"

#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "surroundings.hpp"

using namespace asyncvm;

namespace {

struct Fixture : DeviceRunner {
    Fixture() { mailbox.attached(surroundings.context()); }

    [[nodiscard]] bool interrupt() const { return surroundings.pins[5].pin.level(); }

    asio::io_context loop{1};
    Surroundings surroundings{loop};
    Mailbox mailbox;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_read_waits_for_a_letter, Fixture) {
    Access access = make_access(0x300, 4);
    start(mailbox.read(access));
    poll();
    BOOST_TEST(!done());
    mailbox.post(42);
    poll();
    BOOST_TEST(done());
    BOOST_TEST(access.data == 42u);
}

BOOST_FIXTURE_TEST_CASE(a_letter_interrupts_until_it_is_read_or_the_machine_is_reset, Fixture) {
    write(mailbox, make_access(0x300, 4, 7));
    BOOST_TEST(interrupt());
    BOOST_TEST(read(mailbox, make_access(0x300, 4)) == 7u);
    BOOST_TEST(!interrupt());
    mailbox.post(8);
    mailbox.reset();
    BOOST_TEST(!interrupt());
}

BOOST_FIXTURE_TEST_CASE(a_letter_is_saved_and_restored, Fixture) {
    mailbox.post(9);
    StateWriter writer;
    mailbox.save(writer);
    Fixture other;
    StateReader reader(writer.bytes());
    other.mailbox.restore(reader);
    BOOST_TEST(other.interrupt());
    BOOST_TEST(other.read(other.mailbox, make_access(0x300, 4)) == 9u);
}
