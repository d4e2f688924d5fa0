// An exit whose answer comes from another process over a Unix socket: one message each way, of the size that asyncvm's
// protocol for devices in other processes has, and nothing else.
//
// remote IMAGE COUNT PORT     a machine, and the other process
// remote device               that process alone, with the connection as its standard input, as asyncvm starts it
//
// IMAGE is exits.bin. Prints what `exits` prints.
#include "machine.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADER = 16, ACCESS = 16, VERSION = 1, REGION_READ = 9, REGION_WRITE = 10, REPLY = 1 };

struct header {
    uint16_t id;
    uint16_t command;
    uint32_t size;
    uint32_t flags;
    uint32_t error;
};

/// Returns 0 at the end of the connection.
static int read_all(int fd, void* to, size_t size) {
    for (size_t have = 0; have < size;) {
        const ssize_t got = recv(fd, (char*)to + have, size - have, 0);
        if (got <= 0) return 0;
        have += (size_t)got;
    }
    return 1;
}

/// A frame in one system call, where it comes in one piece.
static int read_frame(int fd, char* frame, size_t room) {
    size_t have = 0;
    struct header header;
    do {
        const ssize_t got = recv(fd, frame + have, room - have, 0);
        if (got <= 0) return 0;
        have += (size_t)got;
    } while (have < HEADER);
    memcpy(&header, frame, sizeof header);
    return header.size <= room && read_all(fd, frame + have, header.size - have);
}

/// Takes one command at a time, and answers it.
static int device(int fd) {
    char frame[512];
    while (read_frame(fd, frame, sizeof frame)) {
        struct header header;
        memcpy(&header, frame, sizeof header);
        header.flags = REPLY;
        if (header.command == VERSION) {
            const char reply[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 1, 0, 0, 0, 'd', 'e', 'v'};
            memcpy(frame + HEADER, reply, sizeof reply);
            header.size = HEADER + sizeof reply;
        } else if (header.command == REGION_READ) {
            uint32_t count;
            memcpy(&count, frame + HEADER + 12, sizeof count);
            memset(frame + HEADER + ACCESS, 0, count);
            header.size = HEADER + ACCESS + count;
        } else if (header.command == REGION_WRITE) {
            header.size = HEADER + ACCESS;
        } else {
            header.size = HEADER;
        }
        memcpy(frame, &header, sizeof header);
        if (send(fd, frame, header.size, MSG_NOSIGNAL) != (ssize_t)header.size) return 0;
    }
    return 0;
}

int main(int count, char** words) {
    if (count == 2 && strcmp(words[1], "device") == 0) return device(STDIN_FILENO);
    if (count < 4) return 2;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) fail("socketpair");
    const pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        return device(pair[1]);
    }
    close(pair[1]);
    struct machine machine;
    struct vcpu vcpu;
    open_machine(&machine, RAM_SIZE);
    load_image(&machine, words[1]);
    const struct parameters parameters = {.ecx = (uint32_t)strtoul(words[2], NULL, 0),
                                          .dx = (uint16_t)strtoul(words[3], NULL, 0)};
    open_vcpu(&machine, 0, &parameters, &vcpu);
    struct marks marks = {0};
    uint64_t accesses = 0;
    struct {
        struct header header;
        uint64_t offset;
        uint16_t region;
        uint8_t width;
        uint8_t zero;
        uint32_t count;
        char data[4];
    } frame = {{0, REGION_WRITE, HEADER + ACCESS + 1, 0, 0}, 0, 0, 1, 0, 1, {0}};
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
        char reply[64];
        ++frame.header.id;
        if (send(pair[0], &frame, frame.header.size, MSG_NOSIGNAL) < 0) fail("send");
        if (!read_frame(pair[0], reply, sizeof reply)) fail("recv");
        ++accesses;
    }
    close(pair[0]);
    waitpid(child, NULL, 0);
    print_marks(&marks, accesses);
    return 0;
}
