// Instead of everything else here, in a build without Unicorn.
#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

std::unique_ptr<asyncvm::Accelerator> asyncvm::make_unicorn_accelerator(const UnicornOptions&) {
    throw Error(ErrorKind::host,
                "this asyncvm was built without Unicorn (install libunicorn-dev libboost-context-dev and "
                "build again)");
}
