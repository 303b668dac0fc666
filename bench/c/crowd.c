/* Many callers of an echo server on this machine, over TCP.
 *
 *   crowd PORT hold COUNT            connect, each asks one line and waits for it; `go`; hold on until stdin ends
 *   crowd PORT visit SECONDS         call, ask one line, hear it, reset; 64 at a time; `go`; `end`, visits, seconds
 *   crowd PORT pour COUNT SIZE SECONDS   lines one way on COUNT connections; `go`; then `end`, the sum of the lines that
 *                                    the server counted (its answer to our end on each), seconds
 *   crowd PORT flood SECONDS         one connection sends short lines without a pause, and reads what comes back; another
 *                                    one asks a line and waits for it, again and again; `go`; `end`, round trips, seconds,
 *                                    and their 50th, 99th and 99.9th percentile in microseconds
 *
 * Seconds are followed by nanoseconds of the server's processor.
 */
#include "wire.h"

static void must(ssize_t done, const char *what) {
    if (done <= 0) die(what);
}

static void ask(int descriptor) { must(send(descriptor, "hello, who is there?\n", 21, MSG_NOSIGNAL), "send"); }

static void hear(int descriptor) {
    char answer[64];
    for (size_t got = 0; got < 21;) {
        ssize_t part = recv(descriptor, answer, sizeof answer, 0);
        must(part, "recv");
        got += (size_t)part;
    }
}

static uint64_t spent;

static void go(void) {
    puts("go");
    fflush(stdout);
    spent = server_ns();
}

static void end(uint64_t count, uint64_t began) {
    unsigned long long processor = server_ns() - spent;
    printf("end\n%llu %.6f %llu", (unsigned long long)count, (double)(now_ns() - began) / 1e9, processor);
}

static void hold(struct sockaddr_in where, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int descriptor = dial(where);
        ask(descriptor);
        hear(descriptor);
    }
    go();
    while (getchar() != EOF) continue;
}

static void visit(struct sockaddr_in where, double seconds) {
    enum { CALLERS = 64 };
    struct linger reset = {1, 0};
    int callers[CALLERS];
    go();
    uint64_t began = now_ns(), visits = 0;
    while ((double)(now_ns() - began) < seconds * 1e9) {
        for (int i = 0; i < CALLERS; i++) ask(callers[i] = dial(where));
        for (int i = 0; i < CALLERS; i++) {
            hear(callers[i]);
            setsockopt(callers[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no TIME_WAIT: ports are few */
            close(callers[i]);
            visits++;
        }
    }
    end(visits, began);
    puts("");
}

static void pour(struct sockaddr_in where, size_t count, size_t size, double seconds) {
    int poller = epoll_create1(0), *descriptors = calloc(count, sizeof *descriptors);
    size_t *offsets = calloc(count, sizeof *offsets);
    char *lines = malloc(size + CHUNK), answer[64];
    for (size_t i = 0; i < size + CHUNK; i++) lines[i] = (i + 1) % size ? 'x' : '\n';
    for (size_t i = 0; i < count; i++) {
        descriptors[i] = dial(where);
        block(descriptors[i], 0);
        struct epoll_event event = {.events = EPOLLOUT, .data.u64 = i};
        epoll_ctl(poller, EPOLL_CTL_ADD, descriptors[i], &event);
    }
    go();
    uint64_t began = now_ns();
    while ((double)(now_ns() - began) < seconds * 1e9) {
        struct epoll_event events[64];
        int ready = epoll_wait(poller, events, 64, 100);
        for (int k = 0; k < ready; k++) {
            size_t i = events[k].data.u64;
            ssize_t sent = send(descriptors[i], lines + offsets[i], CHUNK, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) die("send");
            if (sent > 0) offsets[i] = (offsets[i] + (size_t)sent) % size;
        }
    }
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        block(descriptors[i], 1);
        if (offsets[i]) must(send(descriptors[i], lines + offsets[i], size - offsets[i], MSG_NOSIGNAL), "send");
        shutdown(descriptors[i], SHUT_WR);
    }
    for (size_t i = 0; i < count; i++) {
        ssize_t got = recv(descriptors[i], answer, sizeof answer - 1, 0);
        must(got, "recv");
        answer[got] = 0;
        total += strtoull(answer, 0, 10);
    }
    end(total, began);
    puts("");
}

static int by_time(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One more piece of the flood out, and what has come back of it in, whichever is possible. */
static void flood_some(int descriptor, const char *lines, size_t *offset) {
    static char echoes[CHUNK];
    ssize_t sent = send(descriptor, lines + *offset, CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) die("send");
    if (sent > 0) *offset = (*offset + (size_t)sent) % 2;
    ssize_t got = recv(descriptor, echoes, sizeof echoes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) die("recv");
}

static void flood(struct sockaddr_in where, double seconds) {
    enum { MOST = 1 << 20 };
    double *times = malloc(sizeof *times * MOST), parts[] = {0.5, 0.99, 0.999};
    char *lines = malloc(CHUNK + 2), answer[64];
    for (size_t i = 0; i < CHUNK + 2; i++) lines[i] = i % 2 ? '\n' : 'x';
    size_t count = 0, offset = 0;
    int loud = dial(where), quiet = dial(where);
    uint64_t began = now_ns(), warm = began + 200000000u, until = warm + (uint64_t)(seconds * 1e9);
    while ((now_ns() < until || !count) && count < MOST) {
        ask(quiet);
        uint64_t asked = now_ns(), longest = asked + 1000000000u; /* it may be served never */
        for (size_t got = 0; got < 21 && now_ns() < longest;) {
            flood_some(loud, lines, &offset);
            ssize_t part = recv(quiet, answer, sizeof answer, MSG_DONTWAIT);
            if (part == 0 || (part < 0 && errno != EAGAIN)) die("recv");
            if (part > 0) got += (size_t)part;
        }
        times[count++] = (double)(now_ns() - asked) / 1e3;
        if (warm && now_ns() > warm) {
            go();
            warm = 0;
            count = now_ns() >= longest; /* one that took so long is told, and no more are waited for */
            times[0] = (double)(now_ns() - asked) / 1e3;
            began = now_ns();
        }
    }
    end(count, began);
    qsort(times, count, sizeof *times, by_time);
    for (int i = 0; i < 3; i++) printf(" %.1f", count ? times[(size_t)((double)(count - 1) * parts[i])] : 0);
    puts("");
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    struct sockaddr_in where = here(argv[1]);
    if (!strcmp(argv[2], "hold")) hold(where, strtoul(argv[3], 0, 10));
    else if (!strcmp(argv[2], "visit")) visit(where, atof(argv[3]));
    else if (!strcmp(argv[2], "pour") && argc == 6) pour(where, strtoul(argv[3], 0, 10), strtoul(argv[4], 0, 10), atof(argv[5]));
    else if (!strcmp(argv[2], "flood")) flood(where, atof(argv[3]));
    else return 2;
    return 0;
}
