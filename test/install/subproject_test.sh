#!/bin/sh
# Another Meson project that has this one as a subproject: dependency('asyncvm') is all that its program needs.
#   subproject_test.sh MESON SOURCE EMBEDDER WHAT
# WHAT is what ninja builds there: the embedder's object file, or the program with the whole library (minutes).
set -eu
meson=$1 source=$2 embedder=$3 what=$4

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/subprojects"
ln -s "$source" "$stage/subprojects/asyncvm"
cp "$embedder" "$stage/embedder.cpp"
cat >"$stage/subprojects/asyncvm.wrap" <<'END'
[wrap-file]
directory = asyncvm
[provide]
dependency_names = asyncvm
END
cat >"$stage/meson.build" <<'END'
project('embedder', 'cpp', default_options: ['cpp_std=c++20', 'warning_level=3', 'werror=true'])
executable('embedder', 'embedder.cpp', dependencies: dependency('asyncvm'))
END
"$meson" setup "$stage/build" "$stage" >"$stage/log" 2>&1 || {
    tail -30 "$stage/log" >&2
    exit 1
}
ninja -C "$stage/build" "$what" >"$stage/log" 2>&1 || {
    grep -m 20 -E 'error|FAILED' "$stage/log" >&2
    exit 1
}
[ "$what" != embedder ] || "$stage/build/embedder" null 2>"$stage/errors" || {
    cat "$stage/errors" >&2
    grep -q 'cannot open /dev/kvm' "$stage/errors" && exit 77
    exit 1
}
