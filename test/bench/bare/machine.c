#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void fail(const char* what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t time_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t nanoseconds(void) { return time_of(CLOCK_MONOTONIC); }
int64_t processor_time(void) { return time_of(CLOCK_PROCESS_CPUTIME_ID); }

void mark(struct marks* marks) {
    marks->last = nanoseconds();
    marks->processor_last = processor_time();
    if (marks->first != 0) return;
    marks->first = marks->last;
    marks->processor_first = marks->processor_last;
}

void print_marks(const struct marks* marks, uint64_t accesses) {
    printf("{\"ns\": %lld, \"processor_ns\": %lld, \"accesses\": %llu}\n", (long long)(marks->last - marks->first),
           (long long)(marks->processor_last - marks->processor_first), (unsigned long long)accesses);
}

void open_machine(struct machine* machine, size_t ram_size) {
    machine->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (machine->kvm < 0) fail("cannot open /dev/kvm");
    machine->run_size = ioctl(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    do {
        machine->vm = ioctl(machine->kvm, KVM_CREATE_VM, 0);
    } while (machine->vm < 0 && errno == EINTR);
    if (machine->vm < 0) fail("KVM_CREATE_VM");
    // Only Intel's processors need it; the others take it.
    ioctl(machine->vm, KVM_SET_TSS_ADDR, 0xfffbd000UL);
    machine->ram_size = ram_size;
    machine->ram = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (machine->ram == MAP_FAILED) fail("cannot reserve guest memory");
    const struct kvm_userspace_memory_region region = {.memory_size = ram_size, .userspace_addr = (uintptr_t)machine->ram};
    if (ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) fail("KVM_SET_USER_MEMORY_REGION");
}

void load_image(const struct machine* machine, const char* path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail(path);
    size_t end = LOAD_ADDRESS;
    ssize_t got = 0;
    while (end < machine->ram_size && (got = read(file, machine->ram + end, machine->ram_size - end)) > 0)
        end += (size_t)got;
    if (got < 0) fail(path);
    close(file);
}

static void real_mode(struct kvm_segment* segment) {
    segment->selector = LOAD_ADDRESS >> 4;
    segment->base = LOAD_ADDRESS;
}

void open_vcpu(const struct machine* machine, unsigned index, const struct parameters* parameters, struct vcpu* vcpu) {
    vcpu->fd = ioctl(machine->vm, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu->fd < 0) fail("KVM_CREATE_VCPU");
    vcpu->run = mmap(NULL, (size_t)machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) fail("cannot map a vCPU's shared page");
    struct kvm_sregs sregs;
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) != 0) fail("KVM_GET_SREGS");
    struct kvm_segment* const segments[] = {&sregs.cs, &sregs.ds, &sregs.es, &sregs.ss};
    for (size_t i = 0; i < sizeof segments / sizeof *segments; ++i) real_mode(segments[i]);
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) != 0) fail("KVM_SET_SREGS");
    const struct kvm_regs regs = {
        .rflags = 2, .rsp = 0x8000, .rcx = parameters->ecx, .rbx = parameters->ebx, .rdx = parameters->dx};
    if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) != 0) fail("KVM_SET_REGS");
}

void give_irqchip(const struct machine* machine) {
    if (ioctl(machine->vm, KVM_CREATE_IRQCHIP, 0) != 0) fail("KVM_CREATE_IRQCHIP");
    struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};
    if (ioctl(machine->vm, KVM_CREATE_PIT2, &config) != 0) fail("KVM_CREATE_PIT2");
}

void give_cpuid(const struct machine* machine, const struct vcpu* vcpu) {
    enum { ENTRIES = 256 };
    struct kvm_cpuid2* const cpuid = calloc(1, sizeof *cpuid + ENTRIES * sizeof *cpuid->entries);
    if (cpuid == NULL) fail("calloc");
    cpuid->nent = ENTRIES;
    if (ioctl(machine->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) != 0) fail("KVM_GET_SUPPORTED_CPUID");
    if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) != 0) fail("KVM_SET_CPUID2");
    free(cpuid);
}

void enter(const struct vcpu* vcpu) {
    while (ioctl(vcpu->fd, KVM_RUN, 0) != 0) {
        // EAGAIN: a vCPU that the kernel has not got ready yet.
        if (errno != EINTR && errno != EAGAIN) fail("KVM_RUN");
    }
}
