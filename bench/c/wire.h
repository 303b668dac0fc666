/* What the C programs of the bench share: the clock, a way to fail, and a connection to a port of this machine. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 };

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Processor time so far of the server, whose process is named by BENCH_SERVER; 0 without. Asked here, between two messages:
 * another process would ask too late on a busy machine. The number of the clock: clock_getcpuclockid(3), CPUCLOCK_SCHED. */
static inline uint64_t server_ns(void) {
    const char *process = getenv("BENCH_SERVER");
    struct timespec t = {0, 0};
    if (process) clock_gettime((clockid_t)((~(unsigned)atoi(process) << 3) | 2), &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline struct sockaddr_in here(const char *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return name;
}

static inline int dial(struct sockaddr_in where) {
    int one = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&where, sizeof where)) die("connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return descriptor;
}

static inline void block(int descriptor, int blocks) {
    int flags = fcntl(descriptor, F_GETFL);
    fcntl(descriptor, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}
