#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace asyncvm;

BOOST_AUTO_TEST_SUITE(selection)

BOOST_AUTO_TEST_CASE(without_kvm_the_automatic_choice_is_unicorn_and_says_why) {
    std::vector<std::string> told;
    const auto log = [&](std::string_view line) { told.emplace_back(line); };
    const auto accelerator = make_accelerator(AcceleratorChoice::automatic, log, {.path = "/nonexistent/kvm"});
    BOOST_TEST(accelerator->name() == "unicorn");
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0].find("Unicorn") != std::string::npos, told[0]);
    BOOST_TEST(told[0].find("/nonexistent/kvm") != std::string::npos, told[0]);
    BOOST_TEST(told[0].find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_named_accelerator_is_taken_silently_or_not_at_all) {
    std::vector<std::string> told;
    const auto log = [&](std::string_view line) { told.emplace_back(line); };
    BOOST_TEST(make_accelerator(AcceleratorChoice::unicorn, log)->name() == "unicorn");
    BOOST_CHECK_THROW(static_cast<void>(make_accelerator(AcceleratorChoice::kvm, log, {.path = "/nonexistent/kvm"})), Error);
    BOOST_TEST(told.empty());
}

BOOST_AUTO_TEST_CASE(choices_have_names) {
    BOOST_TEST((parse_accelerator_choice("auto") == AcceleratorChoice::automatic));
    BOOST_TEST((parse_accelerator_choice("kvm") == AcceleratorChoice::kvm));
    BOOST_TEST((parse_accelerator_choice("unicorn") == AcceleratorChoice::unicorn));
    BOOST_CHECK_THROW(static_cast<void>(parse_accelerator_choice("")), Error);
}

BOOST_AUTO_TEST_SUITE_END()
