/// A global fixture for tests that compare KVM with Unicorn: where one of them is missing the executable ends with 77, which
/// meson counts as skipped, and says why.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <cstdio>
#include <cstdlib>

namespace asyncvm::test {

struct BothOrSkip {
    BothOrSkip() {
        try {
            static_cast<void>(make_kvm_accelerator());
            static_cast<void>(make_unicorn_accelerator());
        } catch (const Error& error) {
            std::printf("SKIP: needs KVM and Unicorn: %s\n", error.what());
            std::fflush(stdout);
            std::_Exit(77);
        }
    }
};

}  // namespace asyncvm::test
