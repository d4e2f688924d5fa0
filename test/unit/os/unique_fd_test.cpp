#define BOOST_TEST_MODULE os
#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <boost/test/unit_test.hpp>

#include <utility>

using namespace asyncvm;

namespace {

int open_null() { return ::open("/dev/null", O_RDWR | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_descriptor_is_closed_with_its_owner) {
    const int fd = open_null();
    BOOST_TEST_REQUIRE(fd >= 0);
    {
        const UniqueFd owner(fd);
        BOOST_TEST(owner.valid());
        BOOST_TEST(owner.get() == fd);
        BOOST_TEST(is_open(fd));
    }
    BOOST_TEST(!is_open(fd));
}

BOOST_AUTO_TEST_CASE(an_assignment_closes_the_old_descriptor_at_once) {
    const int first = open_null();
    const int second = open_null();
    UniqueFd owner(first);
    UniqueFd other(second);
    owner = std::move(other);
    BOOST_TEST(!is_open(first));
    BOOST_TEST(is_open(second));
    BOOST_TEST(owner.get() == second);
    BOOST_TEST(!other.valid());  // NOLINT(bugprone-use-after-move): what a move leaves is defined
}

BOOST_AUTO_TEST_CASE(reset_closes_and_release_does_not) {
    const int fd = open_null();
    UniqueFd owner(fd);
    BOOST_TEST(owner.release() == fd);
    BOOST_TEST(!owner.valid());
    BOOST_TEST(is_open(fd));
    owner = UniqueFd(fd);
    owner.reset();
    BOOST_TEST(!owner.valid());
    BOOST_TEST(!is_open(fd));
}

BOOST_AUTO_TEST_CASE(an_owner_of_nothing_closes_nothing) {
    UniqueFd none;
    BOOST_TEST(!none.valid());
    none.reset();
    const UniqueFd failed(-1);
    BOOST_TEST(!failed.valid());
}
