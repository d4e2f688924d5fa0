// The least that a debugger's step can be: a packet from a socket, one step of KVM, an answer. One thread, no other
// protocol.
//
// steps IMAGE SOCKET
//
// Enters the flat IMAGE and listens on the Unix SOCKET. Each packet that begins with v is a step, whose answer tells no
// register; any other is answered with OK.
#include "machine.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int accept_on(const char* path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) fail("the socket's path is too long");
    strcpy(address.sun_path, path);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 1) != 0) fail("listening");
    const int client = accept(listener, NULL, NULL);
    if (client < 0) fail("accept");
    return client;
}

static void step(const struct vcpu* vcpu) {
    // Each time, as who steps over any code has to: the instruction before may have loaded the flags.
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
    if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) != 0) fail("KVM_SET_GUEST_DEBUG");
    enter(vcpu);
    if (vcpu->run->exit_reason != KVM_EXIT_DEBUG) fail("the guest has not stopped behind one instruction");
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: steps IMAGE SOCKET\n");
        return 64;
    }
    struct machine machine;
    struct vcpu vcpu;
    const struct parameters none = {0};
    open_machine(&machine, RAM_SIZE);
    load_image(&machine, argv[1]);
    open_vcpu(&machine, 0, &none, &vcpu);
    const int client = accept_on(argv[2]);
    char packet[4096];
    for (;;) {
        // Who asks waits for the answer before asking again: what comes at once is one packet.
        if (read(client, packet, sizeof packet) <= 1) return 0;
        const bool steps = packet[1] == 'v';
        if (steps) step(&vcpu);
        const char* const answer = steps ? "$T05thread:1;#d7" : "$OK#9a";
        if (write(client, answer, strlen(answer)) < 0) return 0;
    }
}
