#define BOOST_TEST_MODULE gdb
#include <boost/test/unit_test.hpp>
