/// Tests that need something of the host's KVM that not every KVM has ask for it by the names of src/probe, and are skipped
/// with the reason where it is missing:
///
///     BOOST_AUTO_TEST_CASE(a_guest_with_32_bit_paging, REQUIRES("paging-32")) { ... }
#pragma once

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace asyncvm::test {

/// Empty where the host has the feature, otherwise "needs TITLE (this host: WHY)". Each feature is tried once for a run of
/// the tests; what was found is kept in the build directory. Throws std::logic_error for a name that is none.
[[nodiscard]] std::string why_host_lacks(const std::string& feature);

class Requires {
public:
    explicit Requires(std::vector<std::string> features) : features_(std::move(features)) {}

    boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
        for (const auto& feature : features_) {
            if (const auto why = why_host_lacks(feature); !why.empty()) {
                boost::test_tools::assertion_result lacks(false);
                lacks.message() << why;
                return lacks;
            }
        }
        return true;
    }

private:
    std::vector<std::string> features_;
};

}  // namespace asyncvm::test

#define REQUIRES(...) *boost::unit_test::precondition(asyncvm::test::Requires(std::vector<std::string>{__VA_ARGS__}))
