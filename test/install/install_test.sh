#!/bin/sh
# Installs the build into a directory of its own and uses what was installed from outside of the repository: the program,
# the man page, the completion, the checker of devices with a device, the library through pkg-config, and a plugin.
#   install_test.sh MESON BUILD PREFIX EMBEDDER CLIENT PLUGIN PYTHON SANITIZE COMPILER...
set -eu
meson=$1 build=$2 prefix=$3 embedder=$4 client=$5 plugin=$6 python=$7 sanitize=$8
shift 8

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
"$meson" install -C "$build" --no-rebuild --quiet --destdir "$stage" >/dev/null
root=$stage$prefix

fail() {
    echo "install_test: $*" >&2
    exit 1
}

"$root/bin/asyncvm" --version | grep -q '^asyncvm [0-9]' || fail 'the program does not say its version'
grep -q '^\.TH ASYNCVM 1 .*asyncvm [0-9]' "$root/share/man/man1/asyncvm.1" || fail 'no man page'
test -s "$root/share/man/man1/asyncvm-device.1" || fail 'no man page of asyncvm-device'
[ -s "$root/share/bash-completion/completions/asyncvm" ] || fail 'no completion for bash'

"$root/bin/asyncvm-device" check --no-guest --only scratch -- "$root/share/asyncvm/device-clients/conformance.py" >"$stage/checked" ||
    fail "the installed device does not pass the installed checker: $(cat "$stage/checked")"

pc=$(find "$root" -name asyncvm.pc)
[ -n "$pc" ] || fail 'no asyncvm.pc'
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$stage"
case $sanitize in none) ;; *) set -- "$@" "-fsanitize=$sanitize" ;; esac
# shellcheck disable=SC2046 # pkg-config's words
"$@" -std=c++20 -O1 -Wall -Wextra -Werror "$embedder" $(pkg-config --cflags --libs asyncvm) -o "$stage/embedder" ||
    fail 'the embedder does not build with what pkg-config says'

# A plugin, as the documents say.
# shellcheck disable=SC2046 # pkg-config's words
"$@" -std=c++20 -O2 -Wall -Wextra -Werror -shared -fPIC $(pkg-config --cflags asyncvm-device) "$plugin" -o "$stage/thermometer.so" ||
    fail 'the plugin does not build with what pkg-config says'
"$root/bin/asyncvm" --device "$stage/thermometer.so,help" | grep -q '^thermometer: ' || fail 'the installed program loads no plugin'
mkdir "$stage/meson"
cp "$plugin" "$stage/meson/"
# shellcheck disable=SC2016 # no expressions
sed -n '/^```meson$/,/^```$/{/^```/!p}' "${plugin%/*}/../../docs/plugins.md" >"$stage/meson/meson.build"
if ! { "$meson" setup "$stage/meson/build" "$stage/meson" -Dwerror=true && ninja -C "$stage/meson/build"; } >"$stage/log" 2>&1; then
    tail -20 "$stage/log" >&2
    fail 'the plugin does not build as a project of Meson'
fi
"$root/bin/asyncvm" --device "$stage/meson/build/thermometer.so,help" | grep -q '^thermometer: ' || fail "Meson's plugin is none"

# Each macro that must agree, and the language: the compiler says which is missing.
flags=$(pkg-config --cflags asyncvm)
refused() {
    name=$1
    shift
    "$@" "$embedder" -o /dev/null 2>"$stage/errors" && fail "it compiles: $name"
    grep -q "#error .*asyncvm.*$name" "$stage/errors" || fail "nobody says that $name is wrong: $(head -3 "$stage/errors")"
}
macros=0
for define in $flags; do
    case $define in -DASIO_*) ;; *) continue ;; esac
    without=
    for flag in $flags; do
        [ "$flag" = "$define" ] || without="$without $flag"
    done
    name=${define#-D}
    # shellcheck disable=SC2086 # words
    refused "$name" "$@" -std=c++20 -E $without
    macros=$((macros + 1))
done
[ "$macros" -ge 7 ] || fail "asyncvm.pc has only $macros of the macros"
# shellcheck disable=SC2086 # words
refused C++20 "$@" -std=c++17 -E $flags
# shellcheck disable=SC2086 # words
refused handler "$@" -std=c++20 -E $flags -DASIO_ENABLE_HANDLER_TRACKING

# Without KVM and without Unicorn there is nobody who could run the guest.
if ! "$stage/embedder" null 2>"$stage/errors"; then
    cat "$stage/errors" >&2
    grep -q 'cannot open /dev/kvm' "$stage/errors" || fail 'the embedder does not run its guest'
    echo 'SKIP: no usable /dev/kvm, and no Unicorn: the installed library was linked, and not run'
    exit 77
fi
# The guest has read its device twice and printed what it read.
output=$("$python" "$client" "$stage/embedder") || fail 'the embedder did not run its guest'
[ "$output" = '78' ] || fail "the guest's serial port gave '$output' instead of 78"
