/* The conformance device (docs/remote-devices.md): one register for each thing that a device can do. `asyncvm-device check`
 * tests it. */
#define _GNU_SOURCE
#include "asyncvm_device.h"

#include <sys/timerfd.h>

enum { SCRATCH = 0, FIFO = 4, FILL, LEVEL, DELAY, ADDRESS, INCREMENT = 12, SAY, RESETS, DROP, REQUESTS = 4 };

static struct {
    uint8_t scratch[4], fifo[64], level, delay, refused, resets;
    unsigned first, fill;
    uint64_t address;
    struct {
        uint64_t ticket;
        struct timespec due;
    } slow[REQUESTS];
} now;

static void clear(void) {
    const uint8_t resets = now.resets;
    memset(&now, 0, sizeof now);
    now.resets = resets;
    asyncvm_put(now.scratch, 4, 0x12345678);
}

static void connected(struct asyncvm_device* device) {
    (void)device;
    clear();
    now.resets = 0;
}

static void reset(struct asyncvm_device* device) {
    (void)device;
    now.resets++;
    clear();
}

static bool before(struct timespec a, struct timespec b) {
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* Sets the timer to the first answer that is due. */
static void set_timer(const struct asyncvm_device* device) {
    struct itimerspec timer = {.it_value = {0, 0}};
    for (int n = 0; n < REQUESTS; ++n) {
        const bool set = timer.it_value.tv_sec || timer.it_value.tv_nsec;
        if (now.slow[n].ticket && (!set || before(now.slow[n].due, timer.it_value))) timer.it_value = now.slow[n].due;
    }
    timerfd_settime(device->wake_descriptor, TFD_TIMER_ABSTIME, &timer, NULL);
}

/* The answer comes later, and others come in between. */
static void answer_later(struct asyncvm_device* device, unsigned milliseconds) {
    const uint64_t ticket = asyncvm_defer(device);
    for (int n = 0; ticket && n < REQUESTS; ++n) {
        if (now.slow[n].ticket) continue;
        now.slow[n].ticket = ticket;
        clock_gettime(CLOCK_MONOTONIC, &now.slow[n].due);
        now.slow[n].due.tv_nsec += 1000000L * milliseconds;
        now.slow[n].due.tv_sec += now.slow[n].due.tv_nsec / 1000000000;
        now.slow[n].due.tv_nsec %= 1000000000;
        break;
    }
    set_timer(device);
}

static void wake(struct asyncvm_device* device) {
    uint64_t times;
    struct timespec time;
    if (read(device->wake_descriptor, &times, sizeof times) < 0) return;
    clock_gettime(CLOCK_MONOTONIC, &time);
    for (int n = 0; n < REQUESTS; ++n) {
        if (!now.slow[n].ticket || before(time, now.slow[n].due)) continue;
        asyncvm_answer(device, now.slow[n].ticket, 0, 0);
        now.slow[n].ticket = 0;
    }
    set_timer(device);
}

/* Adds 1 to each byte at the address: 0 if that went well, 1 if the monitor has refused it. */
static uint8_t increment(struct asyncvm_device* device, unsigned count) {
    uint8_t data[255];
    if (asyncvm_memory_read(device, now.address, data, count)) return 1;
    for (unsigned at = 0; at < count; ++at) data[at]++;
    return asyncvm_memory_write(device, now.address, data, count) != 0;
}

static uint64_t read_register(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width) {
    (void)device;
    (void)region;
    if (offset < FIFO) return asyncvm_get(now.scratch + offset, offset + width <= 4 ? width : 4 - (unsigned)offset);
    switch (offset) {
        case FIFO:
            if (now.fill == 0) return 0xff;
            now.fill--;
            return now.fifo[now.first++ % 64];
        case FILL:
            return now.fill;
        case LEVEL:
            return now.level;
        case DELAY:
            return now.delay;
        case ADDRESS:
            return now.address;
        case INCREMENT:
            return now.refused;
        case RESETS:
            return now.resets;
        default:
            return UINT64_MAX;
    }
}

static void write_register(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, uint64_t value) {
    (void)region;
    if (offset < FIFO) {
        asyncvm_put(now.scratch + offset, offset + width <= 4 ? width : 4 - (unsigned)offset, value);
    } else if (offset == FIFO && now.fill < 64) {
        now.fifo[(now.first + now.fill++) % 64] = (uint8_t)value;
    } else if (offset == LEVEL) {
        now.level = value & 1;
        asyncvm_set_irq(device, 0, now.level);
    } else if (offset == DELAY) {
        now.delay = (uint8_t)value;
        answer_later(device, now.delay);
    } else if (offset == ADDRESS) {
        now.address = value;
    } else if (offset == INCREMENT) {
        now.refused = increment(device, (uint8_t)value);
    } else if (offset == SAY) {
        asyncvm_log(device, ASYNCVM_INFO, "conformance");
    } else if (offset == DROP) {
        asyncvm_drop(device);
    }
}

int main(int argc, char** argv) {
    struct asyncvm_device device = {.name = "conformance in C",
                                    .max_requests = REQUESTS,
                                    .posted = true,
                                    .map_memory = true,
                                    .connected = connected,
                                    .reset = reset,
                                    .read = read_register,
                                    .write = write_register,
                                    .wake = wake,
                                    .wake_descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
    return asyncvm_device_main(&device, argc, argv);
}
