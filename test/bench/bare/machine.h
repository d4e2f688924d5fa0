/// What every bare program needs of KVM, and no more: a machine with RAM from 0 on, a flat image in it, vCPUs in real mode.
/// Every failure ends the program with a line that says what failed.
#pragma once

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/// Where a flat image is loaded and entered.
enum { LOAD_ADDRESS = 0x10000, RAM_SIZE = 1 << 20 };

struct machine {
    int kvm;
    int vm;
    uint8_t* ram;
    size_t ram_size;
    int run_size;
};

struct vcpu {
    int fd;
    struct kvm_run* run;
};

/// The registers that a guest gets as its parameters; the rest is 0.
struct parameters {
    uint32_t ecx;
    uint32_t ebx;
    uint16_t dx;
};

void open_machine(struct machine* machine, size_t ram_size);

/// Copies the file to LOAD_ADDRESS.
void load_image(const struct machine* machine, const char* path);

void open_vcpu(const struct machine* machine, unsigned index, const struct parameters* parameters, struct vcpu* vcpu);

/// Interrupt controllers and a PIT in the kernel. Before the first vCPU.
void give_irqchip(const struct machine* machine);

/// Shows the guest all that the host supports, as every monitor must whose guest may execute CPUID.
void give_cpuid(const struct machine* machine, const struct vcpu* vcpu);

/// KVM_RUN until it returns with an exit.
void enter(const struct vcpu* vcpu);

/// The data of a port exit.
static inline uint8_t* port_data(struct kvm_run* run) { return (uint8_t*)run + run->io.data_offset; }

/// CLOCK_MONOTONIC.
int64_t nanoseconds(void);

/// What this process has run, in all of its threads.
int64_t processor_time(void);

/// The first and the last write to the mark port, of whatever vCPU.
enum { MARK_PORT = 0x90 };
struct marks {
    int64_t first, last;
    int64_t processor_first, processor_last;
};
void mark(struct marks* marks);
void print_marks(const struct marks* marks, uint64_t accesses);

_Noreturn void fail(const char* what);
