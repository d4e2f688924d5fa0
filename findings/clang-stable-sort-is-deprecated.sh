#!/bin/sh
# With clang 19 and the C++ library of g++ 12, std::stable_sort does not compile under -Werror in C++17 and later.
#
# clang-19 1:19.1.7 and libstdc++-12-dev 12.2.0 (Debian 12). Warnings inside of system headers are off, so one would expect that a
# function of the standard library never brings one. std::stable_sort does: it makes a temporary buffer with get_temporary_buffer,
# which C++17 deprecates, and clang reports the use inside of the template, because it is instantiated by the program. g++ 12 is silent
# with the same header, and so is clang for std::sort. Code that both compilers shall take with -Werror sorts by a key
# that has no equals.
#
# Seen:
#   clang++-19 stable_sort: deprecated
#   clang++-19 sort: compiles
#   g++-12 stable_sort: compiles
#
# Needs: a Debian 12 system with clang-19 and g++-12. Exit codes: 0 as described, 1 it has changed, 2 a compiler is missing.
set -eu
for compiler in clang++-19 g++-12; do
    command -v "$compiler" >/dev/null || { echo "$compiler is not installed" >&2; exit 2; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
library=$(dirname "$(g++-12 -print-file-name=libstdc++.so)")
for function in stable_sort sort; do
    printf '#include <algorithm>\n#include <vector>\nvoid f(std::vector<int>& v) { std::%s(v.begin(), v.end()); }\n' $function >$function.cpp
done
look() { # COMPILER FUNCTION [OPTION...]
    compiler=$1 function=$2
    shift 2
    if "$compiler" -std=c++20 -Wall -Werror -fsyntax-only "$@" "$function.cpp" 2>"$function.log"; then
        echo "$compiler $function: compiles"
    elif grep -q "get_temporary_buffer.* is deprecated" "$function.log"; then
        echo "$compiler $function: deprecated"
    else
        echo "$compiler $function: another error"
        cat "$function.log" >&2
    fi
}
{
    look clang++-19 stable_sort --gcc-install-dir="$library"
    look clang++-19 sort --gcc-install-dir="$library"
    look g++-12 stable_sort
} >result
clang++-19 --version | head -n 1
g++-12 --version | head -n 1
cat result
printf '%s\n' "clang++-19 stable_sort: deprecated" "clang++-19 sort: compiles" "g++-12 stable_sort: compiles" >expected
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
