#!/bin/sh
# An exception that leaves a plugin ends a program with a static libgcc by abort(), without a word, unless the program has thrown one
# itself before.
#
# g++ 12.2.0-14+deb12u1 (Debian 12). A program is linked with -static-libstdc++ -static-libgcc; a plugin that it opens with dlopen() uses
# the shared libraries, and throws. The unwinder of libgcc_s.so walks into the program's frame and calls the personality routine there,
# which is the program's; that calls the program's own _Unwind_SetGR, whose table of register sizes is filled by the first throw of the
# same copy of libgcc. If there was none it aborts. So the same plugin works or kills the program depending on what was thrown
# before: a wrong option that was caught is enough, and tests that begin with an error pass. With one of the two libraries shared, or
# with the program's symbols exported (-rdynamic), it always works. That is why asyncvm loads plugins into a program of their own.
#
# Seen:
#   static: killed by abort; static, after an exception of its own: caught; static, -rdynamic: caught; shared: caught
#
# Needs: g++. Exit codes: 0 as described, 1 it has changed, 2 it can't be tried.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >program.cpp <<'END'
#include <dlfcn.h>
#include <stdexcept>
int main(int argc, char** argv) {
    if (argc > 2) {
        try {
            throw std::runtime_error("its own");
        } catch (const std::exception&) {
        }
    }
    void* const plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (plugin == nullptr) return 3;
    auto* const act = reinterpret_cast<void (*)()>(dlsym(plugin, "act"));
    try {
        act();
    } catch (const std::runtime_error&) {
        return 0;
    }
    return 4;
}
END
cat >plugin.cpp <<'END'
#include <stdexcept>
extern "C" void act() { throw std::runtime_error("thrown in the plugin"); }
END
g++ -O2 -shared -fPIC plugin.cpp -o plugin.so || exit 2
static='-static-libstdc++ -static-libgcc'

# outcome LINK_OPTIONS [own]
outcome() {
    # shellcheck disable=SC2086 # words
    g++ -O2 program.cpp $1 -o program || exit 2
    code=0
    # shellcheck disable=SC3045 # dash and bash have it
    (ulimit -c 0 && ./program ./plugin.so ${2:+"$2"}) >/dev/null 2>&1 || code=$?
    case $code in
        0) echo caught ;;
        134) echo 'killed by abort' ;;
        *) echo "exit code $code" ;;
    esac
}

result="static: $(outcome "$static"); static, after an exception of its own: $(outcome "$static" own); \
static, -rdynamic: $(outcome "$static -rdynamic"); shared: $(outcome '')"
g++ --version | head -1
echo "$result"
[ "$result" = 'static: killed by abort; static, after an exception of its own: caught; static, -rdynamic: caught; shared: caught' ] || {
    echo "this has changed" >&2
    exit 1
}
