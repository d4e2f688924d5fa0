/// For executables that need /dev/kvm: without it they end with 77, which meson counts as skipped, and say why.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <cstdlib>

namespace asyncvm::test {

struct KvmOrSkip {
    KvmOrSkip() {
        try {
            const auto usable = make_kvm_accelerator();
        } catch (const Error& error) {
            std::printf("SKIP: %s\n", error.what());
            std::fflush(stdout);
            std::_Exit(77);
        }
    }
};

}  // namespace asyncvm::test
