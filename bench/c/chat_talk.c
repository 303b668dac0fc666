/* Ordinary guests that talk: chat_talk PORT GUESTS RATE [PASSWORD]
 *
 * GUESTS guests at 127.0.0.1:PORT say RATE lines a second in turn, and each reads those of the others, until the end of
 * standard input. Prints how many lines were said, how many deliveries are lost and how many came twice or in another
 * order than their writer's; then for each delivery the moment at which its line was due (CLOCK_MONOTONIC), and the
 * seconds that it took. Prints "ready" before. */

#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, SIZE = 1 << 20 };

struct guest {
    int sock;
    int size;
    int next[MOST]; /* the number of the next line of each writer */
    char text[SIZE];
};

static struct guest guests[MOST];
static int guest_count;
static long got, wrong;
static double *times;
static size_t times_size;

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "chat_talk: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return sock;
}

static void note(double due, double delay)
{
    if ((size_t)got * 2 + 2 > times_size) {
        times_size = times_size ? times_size * 2 : 1 << 16;
        times = realloc(times, times_size * sizeof *times);
    }
    times[got * 2] = due;
    times[got * 2 + 1] = delay;
    got++;
}

/* A line of a guest: "t3: @3 41 12345.678901". */
static void read_line(struct guest *guest, const char *line, double came)
{
    int writer, number;
    double due;
    const char *mark = strchr(line, '@');
    if (line[0] != 't' || mark == NULL || sscanf(mark, "@%d %d %lf", &writer, &number, &due) != 3)
        return;
    if (number != guest->next[writer])
        wrong++;
    if (number < guest->next[writer])
        return;
    guest->next[writer] = number + 1;
    note(due, came - due);
}

static void read_some(struct guest *guest)
{
    ssize_t size = recv(guest->sock, guest->text + guest->size, SIZE - 1 - guest->size, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0)
        die("a guest was disconnected");
    double came = now();
    guest->size += size;
    guest->text[guest->size] = 0;
    char *line = guest->text, *end;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = 0;
        read_line(guest, line, came);
        line = end + 1;
    }
    guest->size -= line - guest->text;
    memmove(guest->text, line, guest->size);
}

int main(int count, char **words)
{
    if (count < 4 || count > 5 || (guest_count = atoi(words[2])) > MOST)
        return 2;
    int poller = epoll_create1(0), port = atoi(words[1]), said[MOST] = {0};
    double rate = atof(words[3]);
    for (int each = 0; each < guest_count; each++) {
        struct guest *guest = &guests[each];
        char line[32], text[4096];
        guest->sock = dial(port);
        int size = snprintf(line, sizeof line, "%s%s/name t%d\n", count > 4 ? words[4] : "", count > 4 ? "\n" : "",
                            each);
        if (write(guest->sock, line, size) != size)
            die("write");
        snprintf(line, sizeof line, "you are t%d now", each);
        for (size = 0; size == 0 || memmem(text, size, line, strlen(line)) == NULL;) {
            ssize_t more = size < (int)sizeof text ? recv(guest->sock, text + size, sizeof text - size, 0) : 0;
            if (more <= 0)
                die("a guest was not greeted");
            size += more;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = each};
        epoll_ctl(poller, EPOLL_CTL_ADD, guest->sock, &event);
    }
    printf("ready\n");
    fflush(stdout);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    struct epoll_event events[MOST];
    long lines = 0;
    double began = now(), ended = 0;
    while (!ended || (got < lines * (guest_count - 1) && now() < ended + 10)) {
        if (!ended && poll(&input, 1, 0) != 0)
            ended = now();
        double due = began + lines / rate;
        if (!ended && now() >= due) {
            char line[80];
            int writer = lines++ % guest_count;
            int size = snprintf(line, sizeof line, "@%d %d %.6f and some words\n", writer, said[writer]++, due);
            if (write(guests[writer].sock, line, size) != size)
                die("write");
            continue;
        }
        int ready = epoll_wait(poller, events, MOST, ended ? 50 : 1);
        for (int each = 0; each < ready; each++)
            read_some(&guests[events[each].data.u32]);
    }
    printf("%ld %ld %ld\n", lines, lines * (guest_count - 1) - got, wrong);
    for (long each = 0; each < got; each++)
        printf("%.6f %.6f\n", times[2 * each], times[2 * each + 1]);
    return 0;
}
