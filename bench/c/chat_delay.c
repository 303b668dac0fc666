/* The delay of delivery in a chat: chat_delay PORT GUESTS RATE SECONDS
 *
 * One writer and GUESTS readers at 127.0.0.1:PORT. The writer sends RATE lines a second, each with the moment (of
 * CLOCK_MONOTONIC) at which it was due. Prints the delays of all deliveries: count, p50, p90, p99, p99.9, max (ms). */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 18];

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec / 1e9;
}

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("chat_delay: connect");
        exit(1);
    }
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(sock, F_SETFL, O_NONBLOCK);
    return sock;
}

static int order(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

int main(int count, char **words)
{
    if (count != 5)
        return 2;
    int port = atoi(words[1]), guests = atoi(words[2]);
    double rate = atof(words[3]), seconds = atof(words[4]);
    int poll = epoll_create1(0), lines = (int)(rate * seconds), sent = 0;
    size_t wanted = (size_t)lines * guests, have = 0;
    double *delays = malloc((wanted + guests) * sizeof *delays);
    struct epoll_event events[256];
    int writer = -1;
    for (int index = 0; index <= guests; index++) {
        int sock = dial(port);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = sock};
        epoll_ctl(poll, EPOLL_CTL_ADD, sock, &event);
        if (index == 0)
            writer = sock;
        int ready; /* what the others are shown of those that come */
        while ((ready = epoll_wait(poll, events, 256, index == guests ? 500 : index % 16 ? 0 : 2)) > 0)
            for (int each = 0; each < ready; each++)
                while (read(events[each].data.fd, buffer, sizeof buffer) > 0)
                    ;
    }
    double began = now(), last = began;
    while (have < wanted) {
        double due = began + sent / rate, moment = now();
        if (sent < lines && moment >= due) {
            char line[80];
            int size = snprintf(line, sizeof line, "@%017.6f %s\n", due, "0123456789012345678901234567890123456789");
            if (write(writer, line, size) != size)
                return 1;
            sent++;
            continue;
        }
        int wait = sent < lines ? (int)((due - moment) * 1000) : 1000;
        int ready = epoll_wait(poll, events, 256, wait);
        if (moment - last > 20) {
            fprintf(stderr, "chat_delay: %zu of %zu lines came\n", have, wanted);
            return 1;
        }
        for (int each = 0; each < ready; each++) {
            ssize_t size = read(events[each].data.fd, buffer, sizeof buffer - 1);
            if (size <= 0)
                continue;
            buffer[size] = 0;
            double came = now();
            for (char *mark = strchr(buffer, '@'); mark != NULL && have < wanted; mark = strchr(mark + 1, '@'))
                delays[have++] = came - atof(mark + 1), last = came;
        }
    }
    qsort(delays, have, sizeof *delays, order);
    printf("%zu", have);
    double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
    for (int each = 0; each < 5; each++)
        printf(" %.3f", delays[(size_t)(shares[each] * (have - 1))] * 1000);
    printf("\n");
    return 0;
}
