#include "accel/unicorn/library.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <string>

#include "accel/unicorn/containment.hpp"
#include "dynamic/shared_library.hpp"

namespace asyncvm::unicorn {

#define ASYNCVM_DEFINE(name) decltype(&::name) name = nullptr;
ASYNCVM_UNICORN_FUNCTIONS(ASYNCVM_DEFINE)
#undef ASYNCVM_DEFINE

namespace {

bool load() {
    try {
        const SharedLibrary library(fmt::format("libunicorn.so.{}", UC_API_MAJOR).c_str());
#define ASYNCVM_FIND(name) library.find(#name, name);
        ASYNCVM_UNICORN_FUNCTIONS(ASYNCVM_FIND)
#undef ASYNCVM_FIND
        library.replace_imports(contained_imports());
    } catch (const Error& error) {
        throw Error(error.kind(), fmt::format("cannot load Unicorn: {} (install libunicorn2)", error.what()));
    }
    return true;
}

}  // namespace

void load_library() { [[maybe_unused]] static const bool loaded = load(); }

}  // namespace asyncvm::unicorn
