/* What api_test.py expects of a device, beyond the conformance device: two regions, errors, strings of its own, background
 * work. */
#define _GNU_SOURCE
#include "asyncvm_device.h"

#include <sys/timerfd.h>

static uint64_t kept;

static void connected(struct asyncvm_device* device) {
    const struct itimerspec soon = {.it_value = {0, 10000000}};
    timerfd_settime(device->wake_descriptor, 0, &soon, NULL);
}

static void wake(struct asyncvm_device* device) {
    uint64_t times;
    if (read(device->wake_descriptor, &times, sizeof times) < 0) return;
    asyncvm_set_irq(device, 1, true);
    asyncvm_set_irq(device, 0, false);
}

static uint64_t read_register(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width) {
    (void)width;
    puts("this is no frame");
    fflush(stdout);
    if (region == 1) return offset ? 0x100 * region + offset : kept;
    if (offset == 0) asyncvm_refuse(device, EIO);
    if (offset == 1) asyncvm_refuse(device, ENXIO);
    if (offset == 3) {
        asyncvm_log(device, ASYNCVM_INFO, "waits");
        asyncvm_defer(device);
    }
    return (uint64_t)-2;
}

static void write_register(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, uint64_t value) {
    char text[2002] = "x";
    (void)region, (void)offset, (void)width;
    kept = value;
    for (int at = 1; at < 2001; at += 2) memcpy(text + at, "\xc3\xa4", 2);
    asyncvm_log(device, value == 1 ? ASYNCVM_ERROR : ASYNCVM_WARNING, value == 1 ? text : "short");
}

static void read_string(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, void* data,
                        unsigned count) {
    (void)device, (void)region, (void)offset;
    for (unsigned at = 0; at < width * count; ++at) ((unsigned char*)data)[at] = (unsigned char)at;
}

static void write_string(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, const void* data,
                         unsigned count) {
    (void)device, (void)region, (void)offset;
    kept = 0;
    for (unsigned at = 0; at < width * count; ++at) kept += ((const unsigned char*)data)[at];
}

int main(int argc, char** argv) {
    struct asyncvm_device device = {.name = "n\xc3\xa4me",
                                    .connected = connected,
                                    .read = read_register,
                                    .write = write_register,
                                    .read_string = read_string,
                                    .write_string = write_string,
                                    .wake = wake,
                                    .wake_descriptor = timerfd_create(CLOCK_MONOTONIC, 0)};
    return asyncvm_device_main(&device, argc, argv);
}
