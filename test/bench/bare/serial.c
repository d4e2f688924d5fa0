// A machine with nothing but a serial port that is always ready: each byte is one write().
//
// serial IMAGE stdio|listen:PORT|connect:PORT [MIB [cpuid]]
//
// The guest ends by HLT, or by a write to port 0xf4 as with the exit port: (value << 1) | 1.
#include "machine.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATA = 0x3f8, LINE_STATUS = 0x3fd, EXIT_PORT = 0xf4, READY_TO_SEND = 0x60, DATA_READY = 1 };

static int input = STDIN_FILENO;
static int output = STDOUT_FILENO;

static void open_stream(const char* where) {
    if (strcmp(where, "stdio") == 0) return;
    const char* const number = strchr(where, ':');
    if (number == NULL) exit(2);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(number + 1)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (strncmp(where, "listen", 6) == 0) {
        const int listener = stream;
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 1) != 0)
            fail("cannot listen");
        stream = accept(listener, NULL, NULL);
        if (stream < 0) fail("accept");
        close(listener);
    } else if (connect(stream, (struct sockaddr*)&address, sizeof address) != 0) {
        fail("cannot connect");
    }
    setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    input = output = stream;
}

static uint8_t line_status(void) {
    struct pollfd look = {.fd = input, .events = POLLIN};
    return (uint8_t)(poll(&look, 1, 0) > 0 && (look.revents & POLLIN) ? READY_TO_SEND | DATA_READY : READY_TO_SEND);
}

static void send_all(const uint8_t* bytes, size_t size) {
    while (size > 0) {
        const ssize_t sent = write(output, bytes, size);
        if (sent <= 0) fail("cannot write the guest's output");
        bytes += sent;
        size -= (size_t)sent;
    }
}

static void port_access(struct kvm_run* run) {
    uint8_t* const data = port_data(run);
    if (run->io.direction == KVM_EXIT_IO_OUT) {
        if (run->io.port == DATA) send_all(data, (size_t)run->io.size * run->io.count);
        if (run->io.port == EXIT_PORT) exit((*data << 1 | 1) & 0xff);
        return;
    }
    *data = 0xff;
    if (run->io.port == LINE_STATUS) *data = line_status();
    if (run->io.port == DATA && read(input, data, 1) <= 0) *data = 0;
}

int main(int count, char** words) {
    if (count < 3) return 2;
    open_stream(words[2]);
    struct machine machine;
    struct vcpu vcpu;
    open_machine(&machine, count > 3 ? (size_t)atoi(words[3]) << 20 : RAM_SIZE);
    load_image(&machine, words[1]);
    if (count > 5 && strcmp(words[5], "irqchip") == 0) give_irqchip(&machine);
    const struct parameters parameters = {0};
    open_vcpu(&machine, 0, &parameters, &vcpu);
    if (count > 4 && strcmp(words[4], "cpuid") == 0) give_cpuid(&machine, &vcpu);
    for (;;) {
        enter(&vcpu);
        switch (vcpu.run->exit_reason) {
            case KVM_EXIT_IO:
                port_access(vcpu.run);
                break;
            case KVM_EXIT_HLT:
                return 0;
            default:
                fprintf(stderr, "exit reason %u\n", vcpu.run->exit_reason);
                return 1;
        }
    }
}
