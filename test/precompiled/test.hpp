// What most tests include, parsed once instead of in each of them (test/meson.build).
// Nothing of asyncvm itself: some tests know it as a program only.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>

#include <boost/test/framework.hpp>
#include <boost/test/test_tools.hpp>
#include <boost/test/tree/auto_registration.hpp>
#include <boost/test/tree/global_fixture.hpp>
#include <boost/test/tree/test_case_template.hpp>
// All of <boost/test/unit_test.hpp> but main(): each test program gets one from the file that defines BOOST_TEST_MODULE before it
// includes that header, and this is where Boost looks for the definition, once.
#undef BOOST_TEST_CONFIG_HPP_071894GER

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <variant>
#include <vector>
