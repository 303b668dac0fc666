/* A storm of guests that join a chat: chat_joins PORT COUNT SECONDS KIND
 *
 * COUNT guests connect to 127.0.0.1:PORT within SECONDS, at an even rate and never waiting for an answer. KIND:
 *   name    each asks for a name of its own, and stays
 *   talk    the same, and says one line
 *   rooms   the same as name, but each fifty go to a room of their own
 *   same    all ask for one name
 *   silent  no byte is sent
 *   gone    each asks for a name, and closes at once
 *   wrong   each sends a wrong password three times
 *   web     by WebSocket
 * Prints what became of them when that is known of all, or after 30 seconds: see `report`. Reads what comes until the
 * end of standard input, and prints a second line then: how many were disconnected meanwhile. */

#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SOURCES = 200, TAIL = 32 };

enum state { CONNECTING, ASKING, ADMITTED, FULL, WRONG, CLOSED, LEFT };

struct guest {
    int sock;
    enum state state;
    double began, connected, decided;
    char tail[TAIL];
    int tail_size;
};

static char buffer[(1 << 18) + TAIL];
static struct guest *guests;
static int port, count, poller, open_count, undecided, lost;
static const char *kind;

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "chat_joins: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int first_bytes(int number, char *into, size_t size)
{
    if (!strcmp(kind, "silent"))
        return 0;
    if (!strcmp(kind, "same"))
        return snprintf(into, size, "/name Same\n");
    if (!strcmp(kind, "wrong"))
        return snprintf(into, size, "wrong\nwrong\nwrong\n");
    if (!strcmp(kind, "talk"))
        return snprintf(into, size, "/name s%d\nhello\n", number);
    if (!strcmp(kind, "rooms"))
        return snprintf(into, size, "/join room%d\n/name s%d\n", number / 50, number);
    if (strcmp(kind, "web"))
        return snprintf(into, size, "/name s%d\n", number);
    int head = snprintf(into, size,
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: socketkit-chat.v1\r\n\r\n", port);
    /* A masked text frame (RFC 6455, 5.2); the mask is zero. */
    int body = snprintf(into + head + 6, size - head - 6, "{\"type\":\"hello\",\"name\":\"s%d\"}", number);
    memcpy(into + head, (char[]){(char)0x81, (char)(0x80 | body), 0, 0, 0, 0}, 6);
    return head + 6 + body;
}

static void decide(struct guest *guest, enum state state)
{
    guest->state = state;
    guest->decided = now();
    undecided--;
}

static void shut(struct guest *guest)
{
    close(guest->sock);
    guest->sock = -1;
    open_count--;
}

static void join(int number)
{
    struct guest *guest = &guests[number];
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % SOURCES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, sock = guest->sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (sock < 0)
        die("socket");
    setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (strcmp(kind, "same") && bind(sock, (struct sockaddr *)&from, sizeof from) < 0) /* "same": from one address too */
        die("bind");
    guest->began = now();
    if (connect(sock, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        die("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = number};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, sock, &event) < 0)
        die("epoll_ctl");
    open_count++;
}

static void begin(struct guest *guest, int number)
{
    char bytes[512];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(guest->sock, SOL_SOCKET, SO_ERROR, &error, &length);
    int size = first_bytes(number, bytes, sizeof bytes);
    if (error || (size && send(guest->sock, bytes, size, MSG_NOSIGNAL) != size)) {
        decide(guest, CLOSED);
        shut(guest);
        return;
    }
    guest->state = ASKING;
    guest->connected = now();
    if (!strcmp(kind, "gone")) {
        decide(guest, LEFT);
        shut(guest);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    epoll_ctl(poller, EPOLL_CTL_MOD, guest->sock, &event);
}

/* What the chat has told this guest, by the words of its first lines. */
static void look(struct guest *guest, char *data, size_t size)
{
    if (memmem(data, size, "is full", 7) || memmem(data, size, "\"full\"", 6))
        decide(guest, FULL);
    else if (memmem(data, size, "welcome", 7) || memmem(data, size, "\"ready\"", 7))
        decide(guest, ADMITTED);
    else if (memmem(data, size, "wrong three", 11) || memmem(data, size, "too many wrong", 14))
        decide(guest, WRONG);
}

static void read_some(struct guest *guest)
{
    int kept = guest->state == ASKING ? guest->tail_size : 0;
    memcpy(buffer, guest->tail, kept);
    ssize_t size = recv(guest->sock, buffer + kept, sizeof buffer - kept, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size > 0) {
        if (guest->state == ASKING) {
            look(guest, buffer, kept + size);
            guest->tail_size = kept + size < TAIL ? kept + size : TAIL;
            memcpy(guest->tail, buffer + kept + size - guest->tail_size, guest->tail_size);
        }
        return;
    }
    if (guest->state == ASKING)
        decide(guest, CLOSED);
    else if (guest->state == ADMITTED)
        lost++;
    shut(guest);
}

static void serve(int timeout)
{
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, timeout);
    for (int each = 0; each < ready; each++) {
        int number = events[each].data.u32;
        struct guest *guest = &guests[number];
        if (guest->state == CONNECTING)
            begin(guest, number);
        else
            read_some(guest);
    }
}

static int order(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static void print_times(const char *name, double *times, int size)
{
    qsort(times, size, sizeof *times, order);
    printf(" %s_p50=%.4f %s_p99=%.4f %s_max=%.4f", name, size ? times[size / 2] : 0, name,
           size ? times[(int)(0.99 * (size - 1))] : 0, name, size ? times[size - 1] : 0);
}

/* name=value: what was offered and in which time, what became of it, and the seconds that it took. */
static void report(double began, double offered)
{
    double *connects = malloc(count * sizeof *connects), *answers = malloc(count * sizeof *answers), last = began;
    int connected = 0, answered = 0, states[LEFT + 1] = {0};
    for (int number = 0; number < count; number++) {
        struct guest *guest = &guests[number];
        states[guest->state]++;
        if (guest->connected)
            connects[connected++] = guest->connected - guest->began;
        if (guest->state > ASKING) {
            answers[answered++] = guest->decided - guest->began;
            if (guest->decided > last)
                last = guest->decided;
        }
    }
    printf("offered=%d offer_time=%.3f began=%.6f connected=%d admitted=%d full=%d wrong=%d closed=%d left=%d open=%d "
           "last=%.3f", count, offered - began, began, connected, states[ADMITTED], states[FULL], states[WRONG],
           states[CLOSED], states[LEFT], states[CONNECTING] + states[ASKING], last - began);
    print_times("connect", connects, connected);
    print_times("answer", answers, answered);
    printf("\n");
    fflush(stdout);
}

int main(int words, char **word)
{
    if (words != 5)
        return 2;
    port = atoi(word[1]), count = undecided = atoi(word[2]), kind = word[4];
    double seconds = atof(word[3]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    guests = calloc(count, sizeof *guests);
    poller = epoll_create1(0);
    double began = now(), offered = began;
    for (int number = 0; number < count;) {
        int due = (now() - began) / seconds * count + 1;
        while (number < count && number < due)
            join(number++);
        offered = now();
        serve(number < count ? 0 : 1);
    }
    /* Nothing comes to who sends nothing, until the chat has waited for its first bytes. */
    while (undecided > 0 && now() < began + 30)
        serve(10);
    report(began, offered);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 0) == 0)
        serve(50);
    printf("lost=%d kept=%d\n", lost, open_count);
    return 0;
}
