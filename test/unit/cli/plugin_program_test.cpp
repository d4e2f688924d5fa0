#define BOOST_TEST_MODULE plugin_program
#include "cli/plugin_program.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace asyncvm::cli;

namespace {

bool asks(std::vector<const char*> words) {
    words.insert(words.begin(), "asyncvm");
    return asks_for_plugin(words);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_device_with_a_slash_in_its_name_is_a_plugin) {
    BOOST_TEST(asks({"--device", "./x.so", "guest"}));
    BOOST_TEST(asks({"guest", "--device=/x.so,port=1"}));
    BOOST_TEST(asks({"--device", "counter", "--device", "a/b"}));
    BOOST_TEST(asks({"--device", "record=f,./x.so,port=1"}));
    BOOST_TEST(asks({"--device", "record=/tmp/a,,b,./x.so"}));
}

// Starting the program anew costs time, and where there is none for plugins it fails.
BOOST_AUTO_TEST_CASE(nothing_else_is) {
    BOOST_TEST(!asks({}));
    BOOST_TEST(!asks({"./guest"}));
    BOOST_TEST(!asks({"--device"}));
    BOOST_TEST(!asks({"--device", "", "./guest"}));
    BOOST_TEST(!asks({"--devices", "./x.so"}));
    BOOST_TEST(!asks({"--device", "counter,chardev=unix:/tmp/x"}));
    BOOST_TEST(!asks({"--device", "record=/tmp/f,counter,chardev=unix:/tmp/x"}));
    BOOST_TEST(!asks({"--device", "record=/tmp/f"}));
    BOOST_TEST(!asks({"--device", "record=/tmp/a,,./b,counter"}));
    BOOST_TEST(!asks({"--device", "replay=/tmp/f,strict=on"}));
    BOOST_TEST(!asks({"--device", "remote=unix:/tmp/socket"}));
}

BOOST_AUTO_TEST_CASE(its_program_is_beside_asyncvm_or_where_it_is_installed) {
    BOOST_TEST(plugin_program_beside("/opt/build/asyncvm") == "/opt/build/asyncvm-with-plugins");
    BOOST_TEST(plugin_program_installed("/usr/bin/asyncvm").ends_with("/asyncvm-with-plugins"));
    BOOST_TEST(plugin_program_installed("/usr/bin/asyncvm") != plugin_program_beside("/usr/bin/asyncvm"));
}
