#include "bell_registers.hpp"

#include <cstdio>

#define CHECK(what) \
    if (!(what)) return std::puts("wrong: " #what), 1

int main() {
    BellRegisters bell;
    bell.ring(2);
    CHECK(!bell.interrupt());
    bell.write(1, 1);
    CHECK(bell.interrupt());
    CHECK(bell.read(0) == 2);
    CHECK(bell.read(0) == 0);
    CHECK(!bell.interrupt());
    bell.ring(1000);  // nobody reads: it does not start again at 0
    CHECK(bell.read(0) == 255);
    std::puts("the registers are right");
}
