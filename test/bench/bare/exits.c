// The cheapest monitor there can be for a guest that only makes exits: KVM_RUN, a switch, KVM_RUN.
//
// exits IMAGE KIND COUNT PORT [CPUS [shared|coalesced|alike]]
//
// IMAGE is exits.bin; KIND is its BX, COUNT its ECX, PORT its DX; vCPU n gets PORT + n, or with `shared` the same. With
// `alike` the kernel is asked for what asyncvm asks of it: the guest sees the host's CPUID, each exit tells RIP, and the
// vCPU is not the process's only thread. Prints the nanoseconds from the first write to the mark port to the last one, what
// the process has run meanwhile, and how many accesses the devices have seen.
#include "machine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { MOST_CPUS = 16, PAGE = 4096 };

struct runner {
    struct vcpu vcpu;
    pthread_t thread;
    struct marks marks;
    uint64_t accesses;
};

// NULL: each vCPU has a device of its own.
static pthread_mutex_t* shared_device;
static pthread_mutex_t device_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t shared_accesses;
// NULL: every write exits.
static struct kvm_coalesced_mmio_ring* ring;
static uint32_t ring_size;

static void device(struct runner* runner) {
    if (shared_device == NULL) {
        ++runner->accesses;
        return;
    }
    pthread_mutex_lock(shared_device);
    ++shared_accesses;
    pthread_mutex_unlock(shared_device);
}

static void drain(struct runner* runner) {
    while (__atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) != ring->first) {
        device(runner);
        __atomic_store_n(&ring->first, (ring->first + 1) % ring_size, __ATOMIC_RELEASE);
    }
}

static void* loop(void* argument) {
    struct runner* const runner = argument;
    struct kvm_run* const run = runner->vcpu.run;
    for (;;) {
        enter(&runner->vcpu);
        if (ring != NULL) drain(runner);
        switch (run->exit_reason) {
            case KVM_EXIT_IO:
                if (run->io.port == MARK_PORT) {
                    mark(&runner->marks);
                    break;
                }
                device(runner);
                if (run->io.direction == KVM_EXIT_IO_IN) *port_data(run) = 0;
                break;
            case KVM_EXIT_MMIO:
                device(runner);
                if (!run->mmio.is_write) run->mmio.data[0] = 0;
                break;
            case KVM_EXIT_HLT:
                return NULL;
            default:
                fprintf(stderr, "exit reason %u\n", run->exit_reason);
                exit(1);
        }
    }
}

static void coalesce(const struct machine* machine, struct vcpu* vcpu, uint16_t port) {
    const int page = ioctl(machine->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    if (page <= 0 || ioctl(machine->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0) fail("KVM_CAP_COALESCED_PIO");
    const struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = 1, .pio = 1};
    if (ioctl(machine->vm, KVM_REGISTER_COALESCED_MMIO, &zone) != 0) fail("KVM_REGISTER_COALESCED_MMIO");
    ring = (struct kvm_coalesced_mmio_ring*)((char*)vcpu->run + (size_t)page * PAGE);
    ring_size = (PAGE - sizeof *ring) / sizeof *ring->coalesced_mmio;
}

int main(int count, char** words) {
    if (count < 5) return 2;
    const unsigned cpus = count > 5 ? (unsigned)atoi(words[5]) : 1;
    const char* const way = count > 6 ? words[6] : "";
    if (cpus < 1 || cpus > MOST_CPUS) return 2;
    const uint16_t port = (uint16_t)strtoul(words[4], NULL, 0);
    if (strcmp(way, "shared") == 0) shared_device = &device_mutex;

    struct machine machine;
    open_machine(&machine, RAM_SIZE);
    load_image(&machine, words[1]);
    static struct runner runners[MOST_CPUS];
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        const struct parameters parameters = {.ecx = (uint32_t)strtoul(words[3], NULL, 0),
                                              .ebx = (uint32_t)atoi(words[2]),
                                              .dx = (uint16_t)(port + (shared_device == NULL ? cpu : 0))};
        open_vcpu(&machine, cpu, &parameters, &runners[cpu].vcpu);
    }
    if (strcmp(way, "coalesced") == 0) coalesce(&machine, &runners[0].vcpu, port);
    const bool alike = strcmp(way, "alike") == 0;
    if (alike) {
        give_cpuid(&machine, &runners[0].vcpu);
        runners[0].vcpu.run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    }
    // The first vCPU is this thread: with one vCPU there is no other.
    for (unsigned cpu = 1; cpu < cpus; ++cpu) pthread_create(&runners[cpu].thread, NULL, loop, &runners[cpu]);
    if (alike) {
        pthread_create(&runners[0].thread, NULL, loop, &runners[0]);
        pthread_join(runners[0].thread, NULL);
    } else {
        loop(&runners[0]);
    }
    uint64_t accesses = runners[0].accesses;
    struct marks marks = runners[0].marks;
    for (unsigned cpu = 1; cpu < cpus; ++cpu) {
        pthread_join(runners[cpu].thread, NULL);
        accesses += runners[cpu].accesses;
        const struct marks* const other = &runners[cpu].marks;
        if (other->first < marks.first) marks.first = other->first, marks.processor_first = other->processor_first;
        if (other->last > marks.last) marks.last = other->last, marks.processor_last = other->processor_last;
    }
    accesses += shared_accesses;
    print_marks(&marks, accesses);
    return 0;
}
