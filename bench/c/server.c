/* The limit: what a server in C costs on this machine, level-triggered epoll, one thread, nothing but the calls.
 *
 *   server echo     sends back what comes
 *   server count    counts lines; at the peer's end sends back how many
 *   server source   sends lines of 64 bytes, 256 KiB at a time, for as long as somebody reads
 *
 * Prints the port that the system has chosen.
 */
#include "wire.h"

struct guest {
    int descriptor;
    char *rest; /* what could not be sent yet */
    size_t rest_size, sent;
    unsigned long long lines;
};

static char data[CHUNK];

static void see_out(struct guest *guest) {
    close(guest->descriptor);
    free(guest->rest);
    free(guest);
}

static void watch(int poller, struct guest *guest, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = guest};
    epoll_ctl(poller, EPOLL_CTL_MOD, guest->descriptor, &event);
}

/* Returns 0 when the guest is gone. */
static int write_back(int poller, struct guest *guest, const char *what, size_t size) {
    ssize_t sent = send(guest->descriptor, what, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return 0;
    if (sent < 0) sent = 0;
    if ((size_t)sent < size) {
        char *rest = malloc(size - (size_t)sent);
        memcpy(rest, what + sent, size - (size_t)sent);
        free(guest->rest);
        guest->rest = rest;
        guest->rest_size = size - (size_t)sent;
        guest->sent = 0;
        watch(poller, guest, EPOLLOUT); /* nothing more is read until it has gone */
    }
    return 1;
}

static int go_on(int poller, struct guest *guest) {
    ssize_t sent = send(guest->descriptor, guest->rest + guest->sent, guest->rest_size - guest->sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    guest->sent += (size_t)sent;
    if (guest->sent == guest->rest_size) {
        guest->rest_size = guest->sent = 0;
        watch(poller, guest, EPOLLIN);
    }
    return 1;
}

static int hear(int poller, struct guest *guest, int counts) {
    ssize_t got = recv(guest->descriptor, data, sizeof data, 0);
    if (got < 0) return errno == EAGAIN;
    if (!counts) return got == 0 ? 0 : write_back(poller, guest, data, (size_t)got);
    if (got == 0) {
        char answer[32];
        int size = snprintf(answer, sizeof answer, "%llu\n", guest->lines);
        send(guest->descriptor, answer, (size_t)size, MSG_NOSIGNAL);
        return 0;
    }
    for (char *at = data, *end = data + got; (at = memchr(at, '\n', (size_t)(end - at))); at++) guest->lines++;
    return 1;
}

static void pour_out(int listener) {
    for (size_t i = 0; i < sizeof data; i++) data[i] = (i + 1) % 64 ? 'x' : '\n';
    for (;;) {
        int guest = accept(listener, 0, 0);
        while (guest >= 0 && send(guest, data, sizeof data, MSG_NOSIGNAL) > 0) continue;
        close(guest);
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "echo";
    struct sockaddr_in name = here("0");
    socklen_t size = sizeof name;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 65535)) die("listen");
    getsockname(listener, (struct sockaddr *)&name, &size);
    printf("%d\n", ntohs(name.sin_port));
    fflush(stdout);
    if (!strcmp(mode, "source")) pour_out(listener);
    int counts = !strcmp(mode, "count"), poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = 0}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            struct guest *guest = events[i].data.ptr;
            if (!guest) {
                guest = calloc(1, sizeof *guest);
                guest->descriptor = accept4(listener, 0, 0, SOCK_NONBLOCK);
                setsockopt(guest->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.ptr = guest;
                epoll_ctl(poller, EPOLL_CTL_ADD, guest->descriptor, &event);
            } else if (!(events[i].events & EPOLLOUT ? go_on(poller, guest) : hear(poller, guest, counts))) {
                see_out(guest);
            }
        }
    }
}
