#include "dynamic/shared_library.hpp"

#include <asyncvm/error.hpp>

#include <dlfcn.h>

#include <string>

namespace asyncvm {

namespace {

[[noreturn]] void fail() {
    const char* const why = ::dlerror();
    throw Error(ErrorKind::host, why != nullptr ? std::string(why) : "the dynamic linker does not say why");
}

}  // namespace

SharedLibrary::SharedLibrary(const char* file) : handle_(::dlopen(file, RTLD_LAZY | RTLD_LOCAL)) {
    if (handle_ == nullptr) fail();
}

void* SharedLibrary::symbol(const char* name) const {
    void* const found = ::dlsym(handle_, name);
    if (found == nullptr) fail();
    return found;
}

}  // namespace asyncvm
