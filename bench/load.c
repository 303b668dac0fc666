/* Load for an echo server over TCP on loopback: closed loop, a fixed number of messages under way on each connection.
 *
 *   load HOST PORT CONNECTIONS DEPTH SIZE SECONDS
 *
 * Each message is SIZE bytes, the last of them a line feed. A connection sends DEPTH messages, and one more for each
 * that has come back whole. Prints one line: messages, seconds, and the 50th, 99th and 99.9th percentile and the maximum
 * of the latency in microseconds (of the oldest message under way, so that a batch counts with its slowest).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct peer {
    int descriptor;
    size_t to_send;        /* bytes that may be sent now */
    size_t received;       /* bytes of the oldest message that came back */
    uint64_t *sent_at;     /* ring of the moments at which messages under way were sent */
    size_t oldest, count;  /* of the ring */
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

enum { MOST_SAMPLES = 4000000, CHUNK = 1 << 18 };

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: load HOST PORT CONNECTIONS DEPTH SIZE SECONDS\n");
        return 2;
    }
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &where.sin_addr) != 1) {
        fprintf(stderr, "load: not an IPv4 address: %s\n", argv[1]);
        return 2;
    }
    size_t connections = strtoul(argv[3], 0, 10), depth = strtoul(argv[4], 0, 10), size = strtoul(argv[5], 0, 10);
    double seconds = atof(argv[6]);
    size_t batch = depth * size;
    char *out = malloc(batch + CHUNK), *in = malloc(CHUNK);
    for (size_t i = 0; i < batch + CHUNK; i++) out[i] = (i + 1) % size ? 'x' : '\n';
    struct peer *peers = calloc(connections, sizeof *peers);
    uint32_t *samples = malloc(sizeof *samples * MOST_SAMPLES);
    size_t sample_count = 0;
    int poller = epoll_create1(0), one = 1;
    for (size_t i = 0; i < connections; i++) {
        struct peer *peer = &peers[i];
        peer->descriptor = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(peer->descriptor, (struct sockaddr *)&where, sizeof where)) die("connect");
        setsockopt(peer->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(peer->descriptor, F_SETFL, O_NONBLOCK);
        peer->sent_at = malloc(sizeof(uint64_t) * depth);
        peer->to_send = batch;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        epoll_ctl(poller, EPOLL_CTL_ADD, peer->descriptor, &event);
    }
    uint64_t began = now_ns(), until = began + (uint64_t)(seconds * 1e9), messages = 0;
    for (size_t i = 0; i < connections; i++) {
        struct peer *peer = &peers[i];
        for (size_t k = 0; k < depth; k++) peer->sent_at[k] = began;
        peer->count = depth;
        ssize_t sent = send(peer->descriptor, out, peer->to_send, 0);
        if (sent < 0) die("send");
        peer->to_send -= (size_t)sent;
    }
    struct epoll_event events[256];
    uint64_t now = began;
    while (now < until) {
        int ready = epoll_wait(poller, events, 256, 100);
        now = now_ns();
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (events[i].events & EPOLLIN) {
                ssize_t got = recv(peer->descriptor, in, CHUNK, 0);
                if (got == 0) {
                    fprintf(stderr, "load: the server ended a conversation\n");
                    return 1;
                }
                if (got < 0 && errno != EAGAIN) die("recv");
                if (got < 0) got = 0;
                peer->received += (size_t)got;
                size_t whole = peer->received / size;
                peer->received %= size;
                for (size_t k = 0; k < whole; k++) {
                    uint64_t took = (now - peer->sent_at[peer->oldest]) / 100;
                    if (sample_count < MOST_SAMPLES) samples[sample_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
                    peer->sent_at[peer->oldest] = now;
                    peer->oldest = (peer->oldest + 1) % depth;
                }
                messages += whole;
                peer->to_send += whole * size;
            }
            while (peer->to_send) {
                size_t part = peer->to_send < CHUNK ? peer->to_send : CHUNK;
                /* where in a message we are: what is left to send always ends at a message's end */
                size_t offset = (size - peer->to_send % size) % size;
                ssize_t sent = send(peer->descriptor, out + offset, part, 0);
                if (sent < 0) {
                    if (errno != EAGAIN) die("send");
                    break;
                }
                peer->to_send -= (size_t)sent;
            }
            struct epoll_event event = {.events = EPOLLIN | (peer->to_send ? EPOLLOUT : 0), .data.ptr = peer};
            if (peer->to_send || events[i].events & EPOLLOUT) epoll_ctl(poller, EPOLL_CTL_MOD, peer->descriptor, &event);
        }
    }
    double took = (double)(now_ns() - began) / 1e9;
    qsort(samples, sample_count, sizeof *samples, by_size);
    double parts[] = {0.5, 0.99, 0.999};
    printf("%llu %.3f", (unsigned long long)messages, took);
    for (int i = 0; i < 3; i++) printf(" %.1f", sample_count ? samples[(size_t)((double)(sample_count - 1) * parts[i])] / 10.0 : 0);
    printf(" %.1f\n", sample_count ? samples[sample_count - 1] / 10.0 : 0);
    return 0;
}
