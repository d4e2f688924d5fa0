#define BOOST_TEST_MODULE dynamic
#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>
#include <boost/test/unit_test.hpp>

#include <dlfcn.h>

#include <cstddef>
#include <string_view>

#include "dynamic/shared_library.hpp"

using namespace asyncvm;

namespace {

[[maybe_unused]] bool is_loaded(const char* file) {
    void* const handle = ::dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
    if (handle != nullptr) ::dlclose(handle);
    return handle != nullptr;
}

bool names(const Error& error, std::string_view what) {
    return error.kind() == ErrorKind::host && std::string_view(error.what()).find(what) != std::string_view::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_function_is_found) {
    std::size_t (*length)(const char*) = nullptr;
    SharedLibrary("libc.so.6").find("strlen", length);
    BOOST_TEST_REQUIRE((length != nullptr));
    BOOST_TEST(length("four") == 4U);
}

BOOST_AUTO_TEST_CASE(what_is_missing_is_named) {
    BOOST_CHECK_EXCEPTION(SharedLibrary("libnowhere.so.1"), Error,
                          [](const Error& error) { return names(error, "libnowhere.so.1"); });
    void (*function)() = nullptr;
    BOOST_CHECK_EXCEPTION(SharedLibrary("libc.so.6").find("no_such_function", function), Error,
                          [](const Error& error) { return names(error, "no_such_function"); });
    BOOST_TEST((function == nullptr));
}

#ifdef ASYNCVM_TEST_UNICORN
BOOST_AUTO_TEST_CASE(unicorn_is_loaded_when_it_is_chosen) {
    constexpr auto file = ASYNCVM_TEST_UNICORN;
    BOOST_TEST(!is_loaded(file));
    const auto accelerator = make_unicorn_accelerator();
    BOOST_TEST(is_loaded(file));
}
#endif
