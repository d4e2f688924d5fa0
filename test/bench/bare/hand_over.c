// An exit whose answer comes from another thread, handed over as cheaply as two threads that both sleep while they wait
// can: one word each way, a futex for each.
//
// hand_over IMAGE COUNT PORT [socket]
//
// IMAGE is exits.bin. With `socket` the other thread sends itself a byte over a socket pair before it answers. Prints what
// `exits` prints.
#include "machine.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { END = 2 };

static _Alignas(64) atomic_uint asked;
static _Alignas(64) atomic_uint answered;
static uint64_t accesses;
static int with_socket;
static int pair[2];

/// Waits until the word is not 0, takes it back to 0 and returns what it was.
static unsigned take(atomic_uint* word) {
    for (;;) {
        const unsigned value = atomic_exchange(word, 0);
        if (value != 0) return value;
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    }
}

static void give(atomic_uint* word, unsigned value) {
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void* device(void* nothing) {
    while (take(&asked) != END) {
        char byte = 0;
        if (with_socket && (write(pair[0], &byte, 1) != 1 || read(pair[1], &byte, 1) != 1)) fail("socket pair");
        ++accesses;
        give(&answered, 1);
    }
    return nothing;
}

int main(int count, char** words) {
    if (count < 4) return 2;
    with_socket = count > 4 && strcmp(words[4], "socket") == 0;
    if (with_socket && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) fail("socketpair");
    struct machine machine;
    struct vcpu vcpu;
    open_machine(&machine, RAM_SIZE);
    load_image(&machine, words[1]);
    const struct parameters parameters = {.ecx = (uint32_t)strtoul(words[2], NULL, 0),
                                          .dx = (uint16_t)strtoul(words[3], NULL, 0)};
    open_vcpu(&machine, 0, &parameters, &vcpu);
    pthread_t thread;
    pthread_create(&thread, NULL, device, NULL);
    struct marks marks = {0};
    for (;;) {
        enter(&vcpu);
        if (vcpu.run->exit_reason == KVM_EXIT_HLT) break;
        if (vcpu.run->exit_reason != KVM_EXIT_IO) {
            fprintf(stderr, "exit reason %u\n", vcpu.run->exit_reason);
            return 1;
        }
        if (vcpu.run->io.port == MARK_PORT) {
            mark(&marks);
            continue;
        }
        give(&asked, 1);
        take(&answered);
    }
    give(&asked, END);
    pthread_join(thread, NULL);
    print_marks(&marks, accesses);
    return 0;
}
