// Who asks for CPUID, and when again. Where there is no KVM the answer is an error, whose text tells on what it was asked
// for.
#define BOOST_TEST_MODULE kvm_units
#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <boost/test/unit_test.hpp>

#include <memory>
#include <string>

#include "accel/kvm/cpuid_query.hpp"

using namespace asyncvm;
using namespace asyncvm::kvm;

namespace {

std::shared_ptr<const Fd> no_descriptor() { return std::make_shared<const Fd>(-1); }
std::shared_ptr<const Fd> no_kvm() { return std::make_shared<const Fd>(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

std::string failure_of(CpuidQuery& query) {
    try {
        static_cast<void>(query.answer());
    } catch (const Error& error) {
        return error.what();
    }
    return "no failure";
}

const std::string on_no_descriptor = "KVM_GET_SUPPORTED_CPUID failed: bad file descriptor";
const std::string on_no_kvm = "KVM_GET_SUPPORTED_CPUID failed: inappropriate ioctl for device";

}  // namespace

BOOST_AUTO_TEST_CASE(one_question_is_for_all_who_are_there_and_is_asked_again_after_them) {
    auto first = CpuidQuery::shared(no_kvm());
    auto second = CpuidQuery::shared(no_descriptor());
    BOOST_TEST(failure_of(*second) == on_no_kvm);
    first.reset();
    BOOST_TEST(failure_of(*CpuidQuery::shared(no_descriptor())) == on_no_kvm);
    second.reset();
    BOOST_TEST(failure_of(*CpuidQuery::shared(no_descriptor())) == on_no_descriptor);
}

BOOST_AUTO_TEST_CASE(the_descriptor_lives_as_long_as_the_question) {
    auto descriptor = no_kvm();
    const std::weak_ptr<const Fd> watched = descriptor;
    auto query = CpuidQuery::shared(std::move(descriptor));
    BOOST_TEST(!watched.expired());
    BOOST_TEST(failure_of(*query) == on_no_kvm);
    query.reset();
    BOOST_TEST(watched.expired());
}

BOOST_AUTO_TEST_CASE(a_question_whose_answer_nobody_wants_goes_in_peace) {
    for (int round = 0; round < 100; ++round) BOOST_TEST(CpuidQuery::shared(no_kvm()).use_count() == 1);
}

BOOST_AUTO_TEST_CASE(nothing_is_asked_where_there_is_no_kvm) {
    BOOST_TEST(!expect_kvm_accelerator({.path = "/nonexistent/kvm"}));
    BOOST_TEST(!expect_kvm_accelerator({.path = "/dev/null"}));
}
