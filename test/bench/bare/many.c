// Many machines in one process with a thread each and nothing else, to compare memory and time with.
//
// many IMAGE COUNT PERIOD_US WINDOW_MS
//
// IMAGE is now-and-then.bin. Prints what `inside many` prints.
#include "machine.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 0x3f8, SLEEP = 0xf2 };

struct member {
    struct machine machine;
    struct vcpu vcpu;
    pthread_t thread;
    int heard;
};

static atomic_uint heard;
static atomic_ulong lines;

static void take_output(struct member* member, const uint8_t* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        if (bytes[i] != '\n') continue;
        ++lines;
        if (member->heard) continue;
        member->heard = 1;
        ++heard;
        syscall(SYS_futex, &heard, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void* loop(void* argument) {
    struct member* const member = argument;
    struct kvm_run* const run = member->vcpu.run;
    for (;;) {
        enter(&member->vcpu);
        if (run->exit_reason != KVM_EXIT_IO) {
            fprintf(stderr, "exit reason %u\n", run->exit_reason);
            exit(1);
        }
        if (run->io.port == DATA) take_output(member, port_data(run), (size_t)run->io.size * run->io.count);
        if (run->io.port == SLEEP) {
            uint32_t microseconds = 0;
            memcpy(&microseconds, port_data(run), sizeof microseconds);
            struct timespec left = {microseconds / 1000000, microseconds % 1000000 * 1000L};
            while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
        }
    }
}

// As in `inside many`.
static uint64_t resident_bytes(void) {
    unsigned long long kibibytes = 0;
    char line[256];
    FILE* const file = fopen("/proc/self/smaps_rollup", "r");
    if (file == NULL) fail("/proc/self/smaps_rollup");
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "Rss: %llu", &kibibytes) != 1) continue;
    fclose(file);
    return kibibytes * 1024;
}

int main(int count, char** words) {
    if (count != 5) return 2;
    const unsigned members = (unsigned)atoi(words[2]);
    const struct parameters parameters = {.ebx = (uint32_t)strtoul(words[3], NULL, 0)};
    const long window = atol(words[4]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct member* const all = calloc(members, sizeof *all);
    if (all == NULL) fail("memory");
    const uint64_t memory_before = resident_bytes();
    const int64_t start = nanoseconds();
    for (unsigned i = 0; i < members; ++i) {
        open_machine(&all[i].machine, RAM_SIZE);
        load_image(&all[i].machine, words[1]);
        open_vcpu(&all[i].machine, 0, &parameters, &all[i].vcpu);
        errno = pthread_create(&all[i].thread, NULL, loop, &all[i]);
        if (errno != 0) fail("pthread_create");
    }
    const int64_t made = nanoseconds() - start;
    for (unsigned now; (now = heard) < members;) syscall(SYS_futex, &heard, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
    const int64_t all_heard = nanoseconds() - start;
    const uint64_t memory = resident_bytes() - memory_before;
    // As in `inside many`.
    const struct timespec settling = {0, 100 * 1000000};
    nanosleep(&settling, NULL);
    const unsigned long lines_before = lines;
    const int64_t processor_before = processor_time();
    const struct timespec watched = {window / 1000, window % 1000 * 1000000};
    nanosleep(&watched, NULL);
    const int64_t processor = processor_time() - processor_before;
    printf("{\"made_ns\": %lld, \"heard_ns\": %lld, \"memory\": %llu, \"lines\": %lu, \"processor_ns\": %lld}\n",
           (long long)made, (long long)all_heard, (unsigned long long)memory, lines - lines_before, (long long)processor);
    fflush(stdout);
    _exit(0);
}
