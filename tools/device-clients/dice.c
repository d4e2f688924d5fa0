/* Dice: asyncvm --device remote,port=0x300-0x301,exec=./dice GUEST
 *
 * offset 0, 8 bits, read: 1 to 6; REP INSB rolls a handful at once. What is written there is the seed of what comes next. */
#define _GNU_SOURCE
#include "asyncvm_device.h"

static uint64_t roll(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width) {
    uint32_t* const state = device->state;
    (void)region, (void)offset, (void)width;
    *state = *state * 1664525 + 1013904223;
    return 1 + (*state >> 16) % 6;
}

static void seed(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, uint64_t value) {
    (void)region, (void)offset, (void)width;
    *(uint32_t*)device->state = (uint32_t)value;
    printf("dice: the seed is %u\n", (unsigned)value); /* to the standard error: the standard output is the connection */
    fflush(stdout);
}

int main(int argc, char** argv) {
    uint32_t state = 0;
    struct asyncvm_device dice = {.name = "dice", .state = &state, .read = roll, .write = seed};
    return asyncvm_device_main(&dice, argc, argv);
}
