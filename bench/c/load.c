/* Load for an echo server on this machine, over TCP.
 *
 *   load PORT CONNECTIONS DEPTH SIZE SECONDS [RATE [websocket]]
 *
 * Each message is SIZE bytes, the last of them a line feed; with `websocket` a text message of SIZE bytes, at most 125,
 * in a masked frame, after the handshake. Without RATE, or with 0, the loop is closed: a connection has DEPTH
 * messages under way, and sends one more for each that has come back whole. With RATE it is open: so many messages a
 * second in all, each sent at its intended moment whether or not earlier ones are back, and its latency counted from
 * that moment. A tenth of a second, and 0.2 ms for each connection, are for warming up; then `go` is printed. At the
 * end: `end`, and on the next line messages, seconds, nanoseconds of the server's processor, and the 50th, 99th and 99.9th
 * percentile and the maximum of the latency in microseconds.
 */
#include "wire.h"

enum { MOST_SAMPLES = 8000000, MOST_BEHIND = 4096 };

struct peer {
    int descriptor, watches_room;
    size_t to_send;    /* bytes that may be sent now */
    size_t received;   /* bytes of the oldest message that came back */
    uint64_t *sent_at; /* ring of the moments at which the messages under way were sent, or were to be */
    size_t oldest, count;
};

static size_t connections, depth, sample_count;
static size_t size;        /* bytes that a message has on its way there */
static size_t answer_size; /* and on its way back */
static double rate;
static char *out, *in;
static uint32_t *samples;
static uint64_t messages;
static int poller;

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t ring(void) { return rate > 0 ? MOST_BEHIND : depth; }

static void put(struct peer *peer, uint64_t moment) {
    if (peer->count == ring()) {
        fprintf(stderr, "load: %zu messages under way on one connection: the rate is too high\n", peer->count);
        exit(3);
    }
    peer->sent_at[(peer->oldest + peer->count++) % ring()] = moment;
    peer->to_send += size;
}

static void send_some(struct peer *peer) {
    while (peer->to_send) {
        size_t part = peer->to_send < CHUNK ? peer->to_send : CHUNK;
        size_t offset = (size - peer->to_send % size) % size; /* what is left always ends at a message's end */
        ssize_t sent = send(peer->descriptor, out + offset, part, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) die("send");
            break;
        }
        peer->to_send -= (size_t)sent;
    }
    int wants_room = peer->to_send > 0;
    if (wants_room != peer->watches_room) {
        struct epoll_event event = {.events = EPOLLIN | (wants_room ? EPOLLOUT : 0), .data.ptr = peer};
        epoll_ctl(poller, EPOLL_CTL_MOD, peer->descriptor, &event);
        peer->watches_room = wants_room;
    }
}

static void receive_some(struct peer *peer, uint64_t now) {
    ssize_t got = recv(peer->descriptor, in, CHUNK, 0);
    if (got == 0) {
        fprintf(stderr, "load: the server ended a conversation\n");
        exit(1);
    }
    if (got < 0 && errno != EAGAIN) die("recv");
    if (got < 0) return;
    if (answer_size < size && peer->received == 0 && (in[0] != (char)0x81 || (got > 1 && in[1] != (char)(answer_size - 2)))) {
        fprintf(stderr, "load: this is no echo of a text message\n");
        exit(1);
    }
    peer->received += (size_t)got;
    for (; peer->received >= answer_size; peer->received -= answer_size, messages++) {
        uint64_t took = (now - peer->sent_at[peer->oldest]) / 100;
        if (sample_count < MOST_SAMPLES) samples[sample_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
        peer->oldest = (peer->oldest + 1) % ring();
        peer->count--;
        if (rate == 0) put(peer, now);
    }
}

/* Ask for a WebSocket. The answer is read to its end and not beyond. */
static void shake_hands(int descriptor) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    if (send(descriptor, request, sizeof request - 1, MSG_NOSIGNAL) < 0) die("send");
    char answer[2048];
    size_t got = 0;
    while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4) != 0)
        if (got == sizeof answer || recv(descriptor, answer + got++, 1, 0) != 1) die("recv of the answer");
    if (memcmp(answer, "HTTP/1.1 101 ", 13) != 0) {
        fprintf(stderr, "load: refused: %.80s\n", answer);
        exit(1);
    }
}

/* The pattern of what is sent, for ever. */
static void write_messages(int is_websocket) {
    static const char mask[4] = {1, 2, 3, 4};
    size_t payload = answer_size - (is_websocket ? 2 : 0), head = size - payload;
    for (size_t i = 0; i < size + CHUNK; i++) {
        size_t at = i % size;
        if (!is_websocket) out[i] = at + 1 < size ? 'x' : '\n';
        else if (at == 0) out[i] = (char)0x81;
        else if (at == 1) out[i] = (char)(0x80 | payload);
        else out[i] = at < head ? mask[at - 2] : 'x' ^ mask[(at - head) & 3];
    }
}

int main(int argc, char **argv) {
    if (argc < 6 || argc > 8) {
        fprintf(stderr, "usage: load PORT CONNECTIONS DEPTH SIZE SECONDS [RATE [websocket]]\n");
        return 2;
    }
    connections = strtoul(argv[2], 0, 10), depth = strtoul(argv[3], 0, 10), size = strtoul(argv[4], 0, 10);
    double seconds = atof(argv[5]);
    rate = argc > 6 ? atof(argv[6]) : 0;
    int is_websocket = argc > 7;
    answer_size = size + (is_websocket ? 2 : 0), size += is_websocket ? 6 : 0;
    out = malloc(size + CHUNK), in = malloc(CHUNK);
    write_messages(is_websocket);
    samples = malloc(sizeof *samples * MOST_SAMPLES);
    struct peer *peers = calloc(connections, sizeof *peers);
    poller = epoll_create1(0);
    for (size_t i = 0; i < connections; i++) {
        peers[i].descriptor = dial(here(argv[1]));
        if (is_websocket) shake_hands(peers[i].descriptor);
        block(peers[i].descriptor, 0);
        peers[i].sent_at = malloc(sizeof(uint64_t) * ring());
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};
        epoll_ctl(poller, EPOLL_CTL_ADD, peers[i].descriptor, &event);
    }
    uint64_t now = now_ns(), began = now, warm = now + 100000000u + connections * 200000u, until = warm + (uint64_t)(seconds * 1e9);
    for (size_t i = 0; rate == 0 && i < connections; i++) {
        for (size_t k = 0; k < depth; k++) put(&peers[i], now);
        send_some(&peers[i]);
    }
    uint64_t spent = 0, intended = 0; /* messages whose moment has come */
    struct epoll_event events[256];
    /* A server that got no time in so short a round must not be praised for messages that were under way before it. */
    uint64_t fewest = rate > 0 ? 0 : 10 * connections * depth, last = until + 3000000000u;
    while (now < until || (messages < fewest && now < last)) {
        int64_t left = 100000000;
        if (rate > 0) {
            uint64_t due;
            while ((due = began + (uint64_t)((double)intended * 1e9 / rate)) <= now) {
                struct peer *peer = &peers[intended++ % connections];
                put(peer, due);
                send_some(peer);
            }
            left = (int64_t)(due - now);
        }
        struct timespec pause = {.tv_sec = 0, .tv_nsec = left};
        int ready = epoll_pwait2(poller, events, 256, &pause, 0);
        now = now_ns();
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive_some(peer, now);
            send_some(peer);
        }
        if (warm && now >= warm) {
            puts("go");
            fflush(stdout);
            spent = server_ns();
            warm = messages = sample_count = 0;
            began = rate > 0 ? began : now;
            until = now + (uint64_t)(seconds * 1e9);
            last = until + 3000000000u;
        }
    }
    spent = server_ns() - spent;
    puts("end");
    fflush(stdout);
    qsort(samples, sample_count, sizeof *samples, by_size);
    double parts[] = {0.5, 0.99, 0.999, 1};
    printf("%llu %.6f %llu", (unsigned long long)messages, seconds + (double)(now - until) / 1e9, (unsigned long long)spent);
    for (int i = 0; i < 4; i++)
        printf(" %.1f", sample_count ? samples[(size_t)((double)(sample_count - 1) * parts[i])] / 10.0 : 0);
    puts("");
    struct linger reset = {1, 0};
    for (size_t i = 0; i < connections; i++)
        setsockopt(peers[i].descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no TIME_WAIT: ports are few */
    return 0;
}
