/*
 * Both ends of thousands of connections through a proxy: random sizes, pauses, half-closes, resets, slow readers, tiny
 * windows, clients that are gone while they connect, servers that cut at once. Every byte is checked, and every ending
 * is compared with what a direct connection shows:
 *
 *   - bytes in order, and no others;
 *   - FIN only where the peer sent FIN (or closed), and only behind all of its bytes;
 *   - RST only where the peer reset, or closed without reading.
 *
 *   torture --listen PORT --connect PORT [--seed 1] [--first 0] [--connections 10000] [--at-once 200] [--timeout 60]
 *
 * --first plays a violation's connection again. With both ports the same it tests itself, without a proxy. Exit 0
 * without a violation, 1 with one, 2 wrong usage.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/units.h"
#include "tests/torture/end.h"

#define MOST_AT_ONCE    4096
#define MOST_STRAYS     8192 /* accepted, and their number not read yet */
#define REFUSED_PERCENT 2

struct pair {
    struct end client, server;
    bool used, met;    /* met: the server's end is known */
    uint64_t moved_ms; /* when a byte was last sent or received */
};

/* An accepted connection until its number is known. */
struct stray {
    int fd;
    unsigned char header[8];
    size_t length;
};

static struct pair pairs[MOST_AT_ONCE];
static struct stray strays[MOST_STRAYS];
static size_t stray_count;
static uint64_t seed = 1, first = 0, connections = 10000, at_once = 200, timeout_s = 60, listen_port, connect_port;
static uint64_t started, ended, violations, bytes_passed, endings[3];
static struct random random_state;
static uint64_t aborted, refused;
static int listener;

static void violation(const struct pair *pair, const struct end *end, const char *what)
{
    const struct end *peer = end == &pair->client ? &pair->server : &pair->client;

    violations++;
    printf("violation: seed %lu connection %lu, %s: %s; received %lu of %lu sent, wrong byte at %lu, ending %d, itself "
           "%s, peer's "
           "finish %d%s\n",
           (unsigned long)seed, (unsigned long)end->number, end->side == SIDE_CLIENT ? "client" : "server", what,
           (unsigned long)end->received, (unsigned long)peer->sent, (unsigned long)end->wrong_at, end->seen,
           end->fd < 0     ? "closed"
           : end->finished ? "reading"
                           : "sending",
           peer->plan.finish, peer->finished ? "" : " (not done)");
}

static void judge(const struct pair *pair, const struct end *end)
{
    const struct end *peer = end == &pair->client ? &pair->server : &pair->client;

    endings[end->seen]++;
    bytes_passed += end->received;
    if (end->wrong_byte)
        violation(pair, end, "a byte that was not sent");
    if (!pair->met)
        return; /* nobody knows what the peer would have done */
    if (end->received > peer->sent)
        violation(pair, end, "more bytes than were sent");
    if (end->seen == ENDING_FIN && (!peer->finished || peer->plan.finish == FINISH_RESET))
        violation(pair, end, "a clean end, though the peer did not end cleanly");
    if (end->seen == ENDING_FIN && end->received != peer->sent)
        violation(pair, end, "a clean end before all bytes");
    if (end->seen == ENDING_RESET && (!peer->finished || peer->plan.finish == FINISH_FIN) && peer->seen != ENDING_RESET)
        violation(pair, end, "a reset that the peer did not send");
}

static bool is_over(const struct pair *pair)
{
    return pair->client.fd < 0 &&
           (pair->met ? pair->server.fd < 0
                      : pair->client.plan.says_nothing || pair->client.header_left > 0 ||
                            pair->client.seen == ENDING_RESET || pair->client.plan.finish != FINISH_FIN);
}

static int open_socket(int receive_buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && receive_buffer > 0)
        (void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    return fd;
}

static void start_pair(struct pair *pair, uint64_t now_ms)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)connect_port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct plan plan = plan_draw(seed, first + started, SIDE_CLIENT);
    int fd = open_socket(plan.receive_buffer);

    if (fd < 0 || (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)) {
        fprintf(stderr, "torture: connect: %s\n", strerror(errno));
        exit(1);
    }
    *pair = (struct pair){ .used = true, .moved_ms = now_ms };
    end_init(&pair->client, fd, seed, first + started, SIDE_CLIENT, now_ms);
    pair->server.fd = -1;
    aborted += plan.aborts;
    started++;
}

static struct pair *find_pair(uint64_t number)
{
    for (size_t i = 0; i < at_once; i++) {
        if (pairs[i].used && !pairs[i].met && pairs[i].client.number == number)
            return &pairs[i];
    }
    return NULL;
}

/* The server's own abort: its client sees a reset, and nobody knows which client it was. */
static bool refuse(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (random_below(&random_state, 100) >= REFUSED_PERCENT)
        return false;
    (void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
    refused++;
    return true;
}

static void accept_all(void)
{
    int fd;

    while (stray_count < MOST_STRAYS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (!refuse(fd))
            strays[stray_count++] = (struct stray){ .fd = fd };
    }
}

/* Reads the number of a stray. Returns true when it is one no longer. */
static bool place_stray(struct stray *stray, uint64_t now_ms)
{
    ssize_t n = recv(stray->fd, stray->header + stray->length, sizeof stray->header - stray->length, 0);
    struct pair *pair;
    uint64_t number;

    if (n <= 0) {
        if (n < 0 && errno == EAGAIN)
            return false;
        close(stray->fd); /* its client said nothing, or was cut before it had said it */
        return true;
    }
    stray->length += (size_t)n;
    if (stray->length < sizeof stray->header)
        return false;
    memcpy(&number, stray->header, sizeof number);
    pair = find_pair(number);
    if (!pair) {
        close(stray->fd); /* its client is over and judged */
        return true;
    }
    end_init(&pair->server, stray->fd, seed, number, SIDE_SERVER, now_ms);
    pair->met = true;
    return true;
}

static void place_strays(uint64_t now_ms)
{
    for (size_t i = 0; i < stray_count;) {
        if (place_stray(&strays[i], now_ms))
            strays[i] = strays[--stray_count];
        else
            i++;
    }
}

static uint64_t bytes_moved(const struct pair *pair)
{
    return pair->client.sent + pair->client.received + (pair->met ? pair->server.sent + pair->server.received : 0);
}

static void run_pair(struct pair *pair, uint64_t now_ms)
{
    uint64_t before = bytes_moved(pair);

    end_turn(&pair->client, &random_state, now_ms);
    if (pair->met)
        end_turn(&pair->server, &random_state, now_ms);
    if (bytes_moved(pair) != before)
        pair->moved_ms = now_ms;
    if (is_over(pair)) {
        judge(pair, &pair->client);
        if (pair->met)
            judge(pair, &pair->server);
        pair->used = false;
        ended++;
    } else if (now_ms - pair->moved_ms > timeout_s * 1000) {
        violation(pair, &pair->client, pair->met ? "stuck" : "stuck, and never arrived");
        if (pair->met)
            violation(pair, &pair->server, "stuck");
        if (pair->client.fd >= 0)
            close(pair->client.fd);
        if (pair->met && pair->server.fd >= 0)
            close(pair->server.fd);
        pair->used = false;
        ended++;
    }
}

/* Every pair every turn: a few hundred descriptors, and a pause of a millisecond when nothing moved. */
static void run(void)
{
    uint64_t told_ms = clock_now_ms();

    while (ended < connections && violations < 20) {
        uint64_t now_ms = clock_now_ms(), before = bytes_passed + ended;

        accept_all();
        place_strays(now_ms);
        for (size_t i = 0; i < at_once; i++) {
            if (!pairs[i].used && started < connections)
                start_pair(&pairs[i], now_ms);
            if (pairs[i].used)
                run_pair(&pairs[i], now_ms);
        }
        if (before == bytes_passed + ended)
            usleep(200);
        if (now_ms - told_ms > 5000) {
            fprintf(stderr, "torture: %lu of %lu connections, %lu violations\n", (unsigned long)ended,
                    (unsigned long)connections, (unsigned long)violations);
            told_ms = now_ms;
        }
    }
}

static void open_listener(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)listen_port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0) {
        fprintf(stderr, "torture: port %lu: %s\n", (unsigned long)listen_port, strerror(errno));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        { "listen", required_argument, NULL, 'l' },      { "connect", required_argument, NULL, 'c' },
        { "seed", required_argument, NULL, 's' },        { "first", required_argument, NULL, 'f' },
        { "connections", required_argument, NULL, 'n' }, { "at-once", required_argument, NULL, 'a' },
        { "timeout", required_argument, NULL, 't' },     { 0 },
    };
    uint64_t *const values[] = { ['l'] = &listen_port, ['c'] = &connect_port, ['s'] = &seed,     ['f'] = &first,
                                 ['n'] = &connections, ['a'] = &at_once,      ['t'] = &timeout_s };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == '?' || units_parse_number(optarg, values[option]) < 0)
            return 2;
    }
    if (listen_port == 0 || connect_port == 0 || at_once < 1 || at_once > MOST_AT_ONCE) {
        fprintf(stderr, "torture: --listen and --connect are needed; --at-once is 1 to %d\n", MOST_AT_ONCE);
        return 2;
    }
    random_init(&random_state, seed);
    open_listener();
    run();
    printf("torture: seed %lu: %lu connections, %lu bytes, endings: %lu FIN, %lu RST, %lu own; %lu gone while "
           "connecting, %lu refused; %lu violations\n",
           (unsigned long)seed, (unsigned long)ended, (unsigned long)bytes_passed, (unsigned long)endings[ENDING_FIN],
           (unsigned long)endings[ENDING_RESET], (unsigned long)endings[ENDING_NONE], (unsigned long)aborted,
           (unsigned long)refused, (unsigned long)violations);
    return violations > 0 ? 1 : 0;
}
