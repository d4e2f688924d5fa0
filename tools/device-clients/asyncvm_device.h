/* Devices of an asyncvm guest in C: this header is all that is needed, with C11 and POSIX. docs/remote-clients.md says how
 * to write one, docs/remote-devices.md what goes over the wire.
 *
 *     static uint64_t roll(struct asyncvm_device *device, unsigned region, uint64_t offset, unsigned width) {
 *         return 1 + rand() % 6;
 *     }
 *     int main(int argc, char **argv) {
 *         struct asyncvm_device dice = {.name = "dice", .read = roll};
 *         return asyncvm_device_main(&dice, argc, argv);
 *     }
 *
 * Everything runs in one thread: a callback returns, and what it returns is the answer, unless asyncvm_defer() was called.
 * Define _GNU_SOURCE or _POSIX_C_SOURCE 200809L before the first header if the compiler is in strict mode (-std=c11). */
#ifndef ASYNCVM_DEVICE_H
#define ASYNCVM_DEVICE_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ASYNCVM_ERROR, ASYNCVM_WARNING, ASYNCVM_INFO };                      /* levels of asyncvm_log() */
enum { ASYNCVM_USAGE = 64, ASYNCVM_UNAVAILABLE = 72, ASYNCVM_BROKEN = 76 }; /* exit codes; 0: the monitor has left */
enum { ASYNCVM_MAX_DATA = 65536, ASYNCVM_REGIONS = 16, ASYNCVM_MAPS = 16 };

struct asyncvm_region {
    uint64_t address, size;
    bool memory; /* else ports */
};

struct asyncvm_frame { /* what comes in */
    struct asyncvm_frame* next;
    uint64_t ticket;
    uint32_t size, flags, error; /* size: of the payload */
    uint16_t number, command;
    unsigned char payload[];
};

struct asyncvm_device {
    /* The author's: what is 0 is not there. */
    const char* name;      /* what the monitor calls it: 1 to 64 bytes */
    void* state;           /* for the callbacks */
    unsigned max_requests; /* accesses under way at once (256 at most; 0 is 1), for devices that defer answers */
    bool posted;           /* whether the guest may go on before write has seen what it wrote */
    bool map_memory;       /* whether to map the guest's memory instead of asking for it (--memory-share on, memory=map) */
    void (*connected)(struct asyncvm_device* device); /* a monitor has come: begin afresh; regions and irqs are known */
    /* The guest reads or writes width bytes (1, 2, 4, 8) at an offset into a region. */
    uint64_t (*read)(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width);
    void (*write)(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, uint64_t value);
    /* REP INS and REP OUTS: count elements of width bytes, lowest byte first; without them, an element at a time. */
    void (*read_string)(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, void* data,
                        unsigned count);
    void (*write_string)(struct asyncvm_device* device, unsigned region, uint64_t offset, unsigned width, const void* data,
                         unsigned count);
    void (*reset)(
        struct asyncvm_device* device); /* the machine has been reset: the lines are low, deferred answers forgotten */
    void (*wake)(struct asyncvm_device* device); /* wake_descriptor (a timerfd, an eventfd, a socket) is readable */
    int wake_descriptor;
    /* Set when a monitor has come. */
    unsigned irqs, region_count;
    struct asyncvm_region regions[ASYNCVM_REGIONS];
    /* The header's own. */
    int in, out, got_descriptor, refusal;
    enum { ASYNCVM_SERVING, ASYNCVM_LEFT, ASYNCVM_DROPPED, ASYNCVM_NONSENSE } ended;
    const char* why;
    uint16_t number;
    uint32_t max_data;
    uint64_t tickets;
    unsigned deferred_count, map_count;
    struct asyncvm_frame *current, *waiting,
        *deferred; /* waiting: commands that came before an answer that was waited for */
    struct asyncvm_map {
        uint64_t address, size;
        uint32_t flags;
        void* data;
    } maps[ASYNCVM_MAPS];
};

static inline uint64_t asyncvm_get(const unsigned char* from, unsigned width) {
    uint64_t value = 0;
    while (width--) value = value << 8 | from[width];
    return value;
}
static inline void asyncvm_put(unsigned char* to, unsigned width, uint64_t value) {
    for (unsigned at = 0; at < width; ++at) to[at] = (unsigned char)(value >> 8 * at);
}

/* The bytes of a text, of UTF-8, that fit. */
static inline size_t asyncvm_length(const char* text, size_t most) {
    size_t length = strlen(text);
    if (length <= most) return length;
    for (length = most; length > 0 && (text[length] & 0xc0) == 0x80;) --length; /* no half a letter */
    return length;
}

/* The connection ends, with a reason if the monitor has broken the protocol. */
static inline void asyncvm_end(struct asyncvm_device* device, int how, const char* why) {
    if (device->ended) return;
    device->ended = how == ASYNCVM_NONSENSE ? ASYNCVM_NONSENSE : how == ASYNCVM_DROPPED ? ASYNCVM_DROPPED : ASYNCVM_LEFT;
    device->why = why;
}
static inline void asyncvm_drop(struct asyncvm_device* device) { asyncvm_end(device, ASYNCVM_DROPPED, "the device"); }

static inline void asyncvm_send_bytes(struct asyncvm_device* device, const void* data, size_t size) {
    const char* at = (const char*)data;
    while (size > 0 && !device->ended) {
        const ssize_t sent = write(device->out, at, size);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {
            asyncvm_end(device, ASYNCVM_LEFT, "");
            return;
        }
        at += sent;
        size -= (size_t)sent;
    }
}

/* A frame whose payload is in two parts. */
static inline void asyncvm_send(struct asyncvm_device* device, uint16_t number, unsigned command, uint32_t flags,
                                uint32_t error, const void* first, size_t first_size, const void* second,
                                size_t second_size) {
    unsigned char* frame = (unsigned char*)malloc(16 + first_size + second_size);
    if (!frame) abort();
    asyncvm_put(frame, 2, number);
    asyncvm_put(frame + 2, 2, command);
    asyncvm_put(frame + 4, 4, 16 + first_size + second_size);
    asyncvm_put(frame + 8, 4, flags);
    asyncvm_put(frame + 12, 4, error);
    if (first_size) memcpy(frame + 16, first, first_size);
    if (second_size) memcpy(frame + 16 + first_size, second, second_size);
    asyncvm_send_bytes(device, frame, 16 + first_size + second_size);
    free(frame);
}

/* size bytes of what comes in: false at the end. */
static inline bool asyncvm_receive_bytes(struct asyncvm_device* device, void* data, size_t size, bool within_a_frame) {
    for (size_t got = 0; got < size;) {
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec part = {(char*)data + got, size - got};
        struct msghdr message;
        memset(&message, 0, sizeof message);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        ssize_t more = recvmsg(device->in, &message, 0);
        if (more < 0 && errno == ENOTSOCK) {
            more = read(device->in, part.iov_base, part.iov_len);
            message.msg_controllen = 0;
        }
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) {
            const bool half = more == 0 && (within_a_frame || got > 0);
            asyncvm_end(device, half ? ASYNCVM_NONSENSE : ASYNCVM_LEFT, "the monitor has left in the middle of a frame");
            return false;
        }
        struct cmsghdr* const rights = message.msg_controllen >= sizeof(struct cmsghdr) ? CMSG_FIRSTHDR(&message) : NULL;
        if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
            if (device->got_descriptor >= 0) close(device->got_descriptor);
            memcpy(&device->got_descriptor, CMSG_DATA(rights), sizeof(int));
        }
        got += (size_t)more;
    }
    return true;
}

/* The next frame, to be freed; NULL at the end. */
static inline struct asyncvm_frame* asyncvm_receive(struct asyncvm_device* device) {
    unsigned char header[16];
    if (device->ended || !asyncvm_receive_bytes(device, header, sizeof header, false)) return NULL;
    const uint32_t size = (uint32_t)asyncvm_get(header + 4, 4), flags = (uint32_t)asyncvm_get(header + 8, 4);
    /* The first is VERSION, with up to 16 regions. */
    const uint32_t limit = device->max_data ? 32 + device->max_data : 32 + 24 * ASYNCVM_REGIONS;
    if (size < 16 || size > limit || flags & ~0x31U || (flags & 0x20 && (!(flags & 1) || size != 16))) {
        asyncvm_end(device, ASYNCVM_NONSENSE,
                    size < 16 || size > limit ? "a frame has an impossible size" : "a frame has impossible flags");
        return NULL;
    }
    struct asyncvm_frame* const frame = (struct asyncvm_frame*)calloc(1, sizeof *frame + size);
    if (!frame) abort();
    frame->number = (uint16_t)asyncvm_get(header, 2);
    frame->command = (uint16_t)asyncvm_get(header + 2, 2);
    frame->size = size - 16;
    frame->flags = flags;
    frame->error = flags & 0x20 ? (uint32_t)asyncvm_get(header + 12, 4) : 0;
    if (asyncvm_receive_bytes(device, frame->payload, frame->size, true)) return frame;
    free(frame);
    return NULL;
}

/* Line 0 … irqs - 1: level 1 asks for the interrupt, 0 takes that back. In effect before any answer that is given later. */
static inline void asyncvm_set_irq(struct asyncvm_device* device, unsigned line, bool level) {
    unsigned char payload[8];
    if (line >= device->irqs) return; /* the machine has not connected it */
    asyncvm_put(payload, 4, line);
    asyncvm_put(payload + 4, 4, level);
    asyncvm_send(device, ++device->number, 0x8001, 0x10, 0, payload, sizeof payload, NULL, 0);
}

/* A line in the monitor's log. */
static inline void asyncvm_log(struct asyncvm_device* device, unsigned level, const char* text) {
    unsigned char payload[4];
    asyncvm_put(payload, 4, level);
    asyncvm_send(device, ++device->number, 0x8002, 0x10, 0, payload, sizeof payload, text, asyncvm_length(text, 1024));
}

static inline int asyncvm_memory(struct asyncvm_device* device, bool writes, uint64_t address, unsigned char* data,
                                 uint64_t size) {
    for (unsigned n = 0; n < device->map_count; ++n) {
        const struct asyncvm_map* const map = &device->maps[n];
        if (!(map->flags & (writes ? 2 : 1)) || address < map->address || size > map->size ||
            address - map->address > map->size - size)
            continue;
        char* const place = (char*)map->data + (address - map->address);
        memcpy(writes ? (void*)place : (void*)data, writes ? (void*)data : (void*)place, size);
        return 0;
    }
    for (uint64_t count; size > 0; size -= count, address += count, data += count) {
        unsigned char what[16];
        const unsigned command = writes ? 12 : 11;
        count = size < device->max_data ? size : device->max_data;
        asyncvm_put(what, 8, address);
        asyncvm_put(what + 8, 8, count);
        const uint16_t number = ++device->number;
        asyncvm_send(device, number, command, 0, 0, what, sizeof what, data, writes ? count : 0);
        struct asyncvm_frame *frame, **last = &device->waiting;
        while ((frame = asyncvm_receive(device)) != NULL && !(frame->flags & 1)) {
            while (*last) last = &(*last)->next;
            *last = frame;
        }
        if (!frame) return ENOTCONN;
        const bool fits =
            frame->number == number && frame->command == command &&
            (frame->error || (frame->size == 16 + (writes ? 0 : count) && memcmp(frame->payload, what, 16) == 0));
        const int error = (int)frame->error;
        if (fits && !error && !writes) memcpy(data, frame->payload + 16, count);
        if (!fits) asyncvm_end(device, ASYNCVM_NONSENSE, "an answer is not one to what was asked");
        free(frame);
        if (!fits) return ENOTCONN;
        if (error) return error;
    }
    return 0;
}

/* The guest's memory, by guest-physical addresses: 0, or EACCES (not given), EFAULT (no RAM there), ENOTCONN (the monitor
 * has left). */
static inline int asyncvm_memory_read(struct asyncvm_device* device, uint64_t address, void* data, size_t size) {
    return asyncvm_memory(device, false, address, (unsigned char*)data, size);
}
static inline int asyncvm_memory_write(struct asyncvm_device* device, uint64_t address, const void* data, size_t size) {
    return asyncvm_memory(device, true, address, (unsigned char*)(uintptr_t)data, size);
}

/* In read or write: the access is answered with this error, of errno. The guest reads ones. */
static inline void asyncvm_refuse(struct asyncvm_device* device, int error) { device->refusal = error; }

/* In read or write: what it returns is not the answer; asyncvm_answer() gives that later, from any callback. The ticket for
 * it, or 0 where that can't be: for a string, a posted write, and while max_requests answers are deferred. */
static inline uint64_t asyncvm_defer(struct asyncvm_device* device) {
    struct asyncvm_frame* const frame = device->current;
    const unsigned most = device->max_requests ? device->max_requests : 1;
    if (!frame || frame->flags & 0x10 || asyncvm_get(frame->payload + 12, 4) != frame->payload[10] ||
        device->deferred_count >= most)
        return 0;
    frame->ticket = ++device->tickets;
    frame->next = device->deferred;
    device->deferred = frame;
    device->deferred_count++;
    device->current = NULL;
    return frame->ticket;
}

static inline void asyncvm_reply(struct asyncvm_device* device, const struct asyncvm_frame* frame, int error,
                                 const void* first, size_t first_size, const void* second, size_t second_size) {
    if (frame->flags & 0x10) return;
    asyncvm_send(device, frame->number, frame->command, error ? 0x21 : 1, (uint32_t)error, first, error ? 0 : first_size,
                 second, error ? 0 : second_size);
}

/* A deferred answer; value is what a read gives. Tickets from before a reset are ignored. */
static inline void asyncvm_answer(struct asyncvm_device* device, uint64_t ticket, uint64_t value, int error) {
    for (struct asyncvm_frame** place = &device->deferred; *place; place = &(*place)->next) {
        struct asyncvm_frame* const frame = *place;
        if (frame->ticket != ticket) continue;
        unsigned char data[8];
        asyncvm_put(data, 8, value);
        *place = frame->next;
        device->deferred_count--;
        asyncvm_reply(device, frame, error, frame->payload, 16, data, frame->command == 9 ? frame->payload[10] : 0);
        free(frame);
        return;
    }
}

/* What the monitor asks for: each gives the error that it is answered with. */
static inline int asyncvm_access(struct asyncvm_device* device, struct asyncvm_frame* frame) {
    const bool reads = frame->command == 9;
    if (frame->size < 16) return EINVAL;
    unsigned char* const data = frame->payload + 16;
    const uint64_t offset = asyncvm_get(frame->payload, 8);
    const unsigned region = (unsigned)asyncvm_get(frame->payload + 8, 2), width = frame->payload[10];
    const uint32_t count = (uint32_t)asyncvm_get(frame->payload + 12, 4);
    if ((width != 1 && width != 2 && width != 4 && width != 8) || frame->payload[11] || !count || count % width ||
        count > device->max_data || frame->size - 16 != (reads ? 0 : count) || region >= device->region_count ||
        device->regions[region].size < width || offset > device->regions[region].size - width)
        return EINVAL;
    device->current = frame;
    device->refusal = 0;
    if (!reads) {
        if (count > width && device->write_string) {
            device->write_string(device, region, offset, width, data, count / width);
        } else {
            for (uint32_t at = 0; at < count && device->write; at += width)
                device->write(device, region, offset, width, asyncvm_get(data + at, width));
        }
        if (device->current) asyncvm_reply(device, frame, device->refusal, frame->payload, 16, NULL, 0);
        return 0;
    }
    unsigned char* const result = (unsigned char*)malloc(count);
    if (!result) abort();
    memset(result, 0xff, count);
    if (count > width && device->read_string) {
        device->read_string(device, region, offset, width, result, count / width);
    } else {
        for (uint32_t at = 0; at < count && device->read; at += width)
            asyncvm_put(result + at, width, device->read(device, region, offset, width));
    }
    if (device->current) asyncvm_reply(device, frame, device->refusal, frame->payload, 16, result, count);
    free(result);
    return 0;
}

static inline int asyncvm_map_memory(struct asyncvm_device* device, const struct asyncvm_frame* frame) {
    if (frame->size != 32 || device->got_descriptor < 0 || device->map_count == ASYNCVM_MAPS) return EINVAL;
    struct asyncvm_map* const map = &device->maps[device->map_count];
    map->flags = (uint32_t)asyncvm_get(frame->payload + 4, 4);
    map->address = asyncvm_get(frame->payload + 16, 8);
    map->size = asyncvm_get(frame->payload + 24, 8);
    const int access = (map->flags & 1 ? PROT_READ : 0) | (map->flags & 2 ? PROT_WRITE : 0);
    map->data = mmap(NULL, map->size, access, MAP_SHARED, device->got_descriptor, (off_t)asyncvm_get(frame->payload + 8, 8));
    const int error = map->data == MAP_FAILED ? errno : 0;
    close(device->got_descriptor);
    device->got_descriptor = -1;
    device->map_count += !error;
    return error;
}

/* Answers what was deferred with an error, or drops it. */
static inline void asyncvm_forget(struct asyncvm_device* device, int error) {
    while (device->deferred) asyncvm_answer(device, device->deferred->ticket, 0, error);
}

static inline void asyncvm_greet(struct asyncvm_device* device, struct asyncvm_frame* frame) {
    const unsigned char* const hello = frame->payload;
    const char* const name = device->name ? device->name : "device";
    if (frame->command != 1 || frame->flags || frame->size < 16 || asyncvm_get(hello, 2) != 1 ||
        asyncvm_get(hello + 8, 4) < 16 || frame->size != 16 + 24 * asyncvm_get(hello + 14, 2)) {
        asyncvm_end(device, ASYNCVM_NONSENSE, "the first frame is not a VERSION that version 1.0 knows");
        return;
    }
    const uint64_t offered = asyncvm_get(hello + 4, 4), data = asyncvm_get(hello + 8, 4);
    device->max_data = data < ASYNCVM_MAX_DATA ? (uint32_t)data : ASYNCVM_MAX_DATA;
    device->irqs = (unsigned)asyncvm_get(hello + 12, 2);
    device->region_count = (unsigned)asyncvm_get(hello + 14, 2);
    for (unsigned n = 0; n < device->region_count; ++n) {
        const unsigned char* const region = hello + 16 + 24 * n;
        device->regions[n] = (struct asyncvm_region){asyncvm_get(region, 8), asyncvm_get(region + 8, 8), region[16] == 1};
    }
    unsigned char answer[16] = {1};
    asyncvm_put(answer + 4, 4, offered & (3U | (device->map_memory ? 4 : 0) | (device->posted ? 8 : 0)));
    asyncvm_put(answer + 8, 4, device->max_data);
    asyncvm_put(answer + 12, 2, device->max_requests ? device->max_requests : 1);
    if (device->connected) device->connected(device);
    asyncvm_reply(device, frame, 0, answer, sizeof answer, name, asyncvm_length(name, 64));
}

static inline void asyncvm_obey(struct asyncvm_device* device, struct asyncvm_frame* frame) {
    int error = ENOTSUP;
    if (frame->flags & 1) {
        asyncvm_end(device, ASYNCVM_NONSENSE, "an answer that nobody waits for");
    } else if (frame->command == 9 || frame->command == 10) {
        error = asyncvm_access(device, frame);
        if (!error && !device->current) return; /* deferred */
        device->current = NULL;
        if (error) asyncvm_reply(device, frame, error, NULL, 0, NULL, 0);
    } else {
        if (frame->command == 13) {
            asyncvm_forget(device, ECANCELED);
            if (device->reset) device->reset(device);
            error = 0;
        } else if (frame->command == 2) {
            error = asyncvm_map_memory(device, frame);
        } else if (frame->command == 1) {
            error = EINVAL;
        }
        asyncvm_reply(device, frame, error, NULL, 0, NULL, 0);
    }
    free(frame);
}

/* One connection, on two descriptors that may be one, and are closed. Gives 0 or ASYNCVM_BROKEN, and says why. */
static inline int asyncvm_serve(struct asyncvm_device* device, int in, int out) {
    const int one = 1;
    setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* if it is TCP */
    device->in = in;
    device->out = out;
    device->got_descriptor = -1;
    device->ended = ASYNCVM_SERVING;
    device->number = 0;
    device->max_data = device->irqs = device->map_count = 0;
    while (!device->ended) {
        struct pollfd wait[2] = {{in, POLLIN, 0}, {device->wake_descriptor, POLLIN, 0}};
        struct asyncvm_frame* frame = device->waiting;
        if (frame) {
            device->waiting = frame->next;
        } else if (poll(wait, device->wake ? 2 : 1, -1) < 0 && errno != EINTR) {
            break;
        }
        if (device->wake && wait[1].revents) device->wake(device);
        if (!frame && wait[0].revents) frame = asyncvm_receive(device);
        if (!frame) continue;
        frame->next = NULL;
        if (device->max_data) {
            asyncvm_obey(device, frame);
        } else {
            asyncvm_greet(device, frame);
            free(frame);
        }
    }
    asyncvm_forget(device, ECANCELED);
    for (struct asyncvm_frame *frame = device->waiting, *next; frame; frame = next) {
        next = frame->next;
        free(frame);
    }
    device->waiting = NULL;
    while (device->map_count) {
        device->map_count--;
        munmap(device->maps[device->map_count].data, device->maps[device->map_count].size);
    }
    if (device->got_descriptor >= 0) close(device->got_descriptor);
    close(in);
    if (out != in) close(out);
    if (device->ended != ASYNCVM_NONSENSE) return 0;
    fprintf(stderr, "%s: %s\n", device->name ? device->name : "device", device->why);
    return ASYNCVM_BROKEN;
}

/* A socket for unix:PATH or tcp:[HOST:]PORT that listens or is connected; minus an exit code, and a line on the standard
 * error. */
static inline int asyncvm_socket(const char* address, bool listens) {
    const char* const port = strncmp(address, "tcp:", 4) == 0 ? (strrchr(address + 3, ':') + 1) : "";
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct addrinfo *found = NULL, hints, here;
    memset(&hints, 0, sizeof hints);
    memset(&here, 0, sizeof here);
    hints.ai_socktype = here.ai_socktype = SOCK_STREAM;
    if (strncmp(address, "unix:", 5) == 0 && address[5] && strlen(address + 5) < sizeof local.sun_path) {
        strcpy(local.sun_path, address + 5);
        here.ai_family = AF_UNIX;
        here.ai_addr = (struct sockaddr*)&local;
        here.ai_addrlen = sizeof local;
    } else if (*port) {
        char host[256] = "localhost";
        const size_t length = port - address > 5 ? (size_t)(port - address - 5) : 0;
        if (length && length < sizeof host) snprintf(host, sizeof host, "%.*s", (int)length, address + 4);
        const size_t bracket = host[0] == '[';
        if (bracket) host[strlen(host) - 1] = 0;
        if (getaddrinfo(host + bracket, port, &hints, &found)) {
            fprintf(stderr, "%s: the host or the port is not known\n", address);
            return -ASYNCVM_UNAVAILABLE;
        }
        here = *found;
    } else {
        fprintf(stderr, "'%s' is no address: unix:PATH or tcp:[HOST:]PORT, as it is or after listen:\n", address);
        return -ASYNCVM_USAGE;
    }
    const int one = 1;
    int descriptor = -1, failed = 0;
    for (int attempt = 0; descriptor < 0; ++attempt) { /* the monitor may be there within ten seconds */
        descriptor = socket(here.ai_family, SOCK_STREAM, 0);
        if (listens && here.ai_family == AF_UNIX) unlink(local.sun_path); /* an earlier run's */
        if (listens) setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        failed = listens ? bind(descriptor, here.ai_addr, here.ai_addrlen) || listen(descriptor, 8)
                         : connect(descriptor, here.ai_addr, here.ai_addrlen);
        if (!failed) break;
        failed = errno;
        close(descriptor);
        descriptor = -1;
        if (listens || attempt == 100 || (failed != ENOENT && failed != ECONNREFUSED)) break;
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    if (found) freeaddrinfo(found);
    if (descriptor >= 0) return descriptor;
    fprintf(stderr, "%s: %s\n", address, strerror(failed));
    return -ASYNCVM_UNAVAILABLE;
}

/* Serves a device at the address on the command line, or on the standard streams if there is none (exec=). What the program
 * prints on its standard output then goes to the standard error. Gives the program's exit code. */
static inline int asyncvm_device_main(struct asyncvm_device* device, int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    struct stat input, output;
    const bool carries = fstat(0, &input) == 0 && (S_ISSOCK(input.st_mode) || S_ISFIFO(input.st_mode));
    if (argc > 2 || (argc < 2 && !carries)) {
        fprintf(stderr,
                "%s: asyncvm starts this program with exec=, or it takes one address: [listen:]unix:PATH, "
                "[listen:]tcp:[HOST:]PORT\n",
                argv[0]);
        return ASYNCVM_USAGE;
    }
    if (argc < 2) {
        const bool one = fstat(1, &output) == 0 && S_ISSOCK(input.st_mode) && input.st_ino == output.st_ino;
        const int in = dup(0), out = one ? in : dup(1), null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(2, 1);
        close(null);
        return asyncvm_serve(device, in, out);
    }
    const bool listens = strncmp(argv[1], "listen:", 7) == 0;
    const int place = asyncvm_socket(argv[1] + (listens ? 7 : 0), listens);
    if (place < 0) return -place;
    if (!listens) return asyncvm_serve(device, place, place);
    fprintf(stderr, "%s: listens on %s\n", argv[0], argv[1] + 7);
    for (int connection; (connection = accept(place, NULL, NULL)) >= 0 || errno == EINTR || errno == ECONNABORTED;) {
        if (connection < 0) continue;
        asyncvm_serve(device, connection, connection);
    }
    perror(argv[0]);
    return ASYNCVM_UNAVAILABLE;
}

#endif
