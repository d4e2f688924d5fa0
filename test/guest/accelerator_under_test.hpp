/// The accelerator that the tests of this run are for: ASYNCVM_TEST_ACCEL=kvm (the default) or unicorn.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace asyncvm::test {

inline std::unique_ptr<Accelerator> make_accelerator_under_test() {
    const char* const name = std::getenv("ASYNCVM_TEST_ACCEL");
    return make_accelerator(name == nullptr ? AcceleratorChoice::kvm : parse_accelerator_choice(name), {});
}

/// A global fixture. On a host that lacks the accelerator the executable ends with 77, which meson counts as skipped, and
/// says why.
struct AcceleratorOrSkip {
    AcceleratorOrSkip() {
        try {
            const auto usable = make_accelerator_under_test();
        } catch (const Error& error) {
            std::printf("SKIP: %s\n", error.what());
            std::fflush(stdout);
            std::_Exit(77);
        }
    }
};

}  // namespace asyncvm::test
