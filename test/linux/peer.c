/* A program in the Linux that tests boot: streams of bytes on TCP and on virtio sockets.
 *
 *   peer echo tcp|vsock PORT            takes one connection and sends back what comes, until the other side has ended its own
 *   peer send tcp|vsock ADDRESS PORT N  sends N bytes, and tells whether the same ones have come back
 *   peer offloads INTERFACE             what the interface's driver leaves to its card
 */
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in tcp;
    struct sockaddr_vm vsock;
};

static void check(int good, const char* what) {
    if (good) return;
    perror(what);
    exit(1);
}

/* `where` null: every address of this machine. */
static socklen_t fill(union address* address, const char* family, const char* where, const char* port) {
    memset(address, 0, sizeof *address);
    if (strcmp(family, "vsock") == 0) {
        address->vsock.svm_family = AF_VSOCK;
        address->vsock.svm_cid = where ? (unsigned)atoi(where) : VMADDR_CID_ANY;
        address->vsock.svm_port = (unsigned)atoi(port);
        return sizeof address->vsock;
    }
    address->tcp.sin_family = AF_INET;
    address->tcp.sin_addr.s_addr = where ? inet_addr(where) : INADDR_ANY;
    address->tcp.sin_port = htons((unsigned short)atoi(port));
    return sizeof address->tcp;
}

static int echo(const char* family, const char* port) {
    union address here;
    const socklen_t size = fill(&here, family, NULL, port);
    const int listener = socket(here.any.sa_family, SOCK_STREAM, 0);
    check(listener >= 0 && bind(listener, &here.any, size) == 0 && listen(listener, 1) == 0, "listen");
    printf("%s %s is open\n", family, port);
    fflush(stdout);
    const int fd = accept(listener, NULL, NULL);
    check(fd >= 0, "accept");
    static char buffer[65536];
    long total = 0;
    for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) != 0; total += got) {
        check(got > 0, "read");
        for (ssize_t done = 0; done < got;) {
            const ssize_t put = write(fd, buffer + done, (size_t)(got - done));
            check(put > 0, "write");
            done += put;
        }
    }
    printf("echoed %ld bytes\n", total);
    return 0;
}

static unsigned char byte_at(long place) { return (unsigned char)((unsigned long)place * 2654435761u >> 11); }

static int send_and_compare(const char* family, const char* where, const char* port, long count) {
    union address there;
    const socklen_t size = fill(&there, family, where, port);
    const int fd = socket(there.any.sa_family, SOCK_STREAM, 0);
    check(fd >= 0 && connect(fd, &there.any, size) == 0, "connect");
    static unsigned char out[16384], in[16384];
    long sent = 0, got = 0, wrong = 0;
    while (got < count) {
        struct pollfd ready = {fd, POLLIN | (sent < count ? POLLOUT : 0), 0};
        check(poll(&ready, 1, -1) > 0, "poll");
        if (ready.revents & POLLOUT && sent < count) {
            const long piece = count - sent < (long)sizeof out ? count - sent : (long)sizeof out;
            for (long i = 0; i < piece; ++i) out[i] = byte_at(sent + i);
            const ssize_t put = send(fd, out, (size_t)piece, MSG_DONTWAIT);
            if (put > 0) sent += put;
        }
        if (ready.revents & ~POLLOUT) {
            const ssize_t came = read(fd, in, sizeof in);
            check(came > 0, "read");
            for (ssize_t i = 0; i < came; ++i) wrong += in[i] != byte_at(got + i);
            got += came;
        }
    }
    check(shutdown(fd, SHUT_WR) == 0 && read(fd, in, 1) == 0, "the end");
    printf("%ld bytes came back, %ld wrong\n", got, wrong);
    return 0;
}

static int offloads(const char* name) {
    static const struct {
        unsigned command;
        const char* name;
    } questions[] = {{ETHTOOL_GTXCSUM, "tx-checksum"}, {ETHTOOL_GRXCSUM, "rx-checksum"}, {ETHTOOL_GTSO, "tso"}};
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (unsigned i = 0; i < sizeof questions / sizeof questions[0]; ++i) {
        struct ethtool_value value = {questions[i].command, 0};
        struct ifreq request;
        memset(&request, 0, sizeof request);
        strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
        request.ifr_data = (void*)&value;
        check(ioctl(fd, SIOCETHTOOL, &request) == 0, questions[i].name);
        printf("%s=%u ", questions[i].name, value.data);
    }
    printf("on %s\n", name);
    return 0;
}

int main(int argc, char** argv) {
    if (argc == 4 && strcmp(argv[1], "echo") == 0) return echo(argv[2], argv[3]);
    if (argc == 6 && strcmp(argv[1], "send") == 0) return send_and_compare(argv[2], argv[3], argv[4], atol(argv[5]));
    if (argc == 3 && strcmp(argv[1], "offloads") == 0) return offloads(argv[2]);
    fprintf(stderr, "peer echo|send|offloads ...\n");
    return 2;
}
