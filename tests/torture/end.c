#include "tests/torture/end.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"

#define MOST_BYTES  200000
#define TINY_WINDOW 2048

static unsigned char scratch[MOST_BYTES];

void end_init(struct end *end, int fd, uint64_t seed, uint64_t number, enum side side, uint64_t now_ms)
{
    *end = (struct end){ .fd = fd, .side = side, .number = number, .plan = plan_draw(seed, number, side) };
    if (end->plan.tiny_window)
        (void)!setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &(int){ TINY_WINDOW }, sizeof(int));
    end->header_left = side == SIDE_CLIENT && !end->plan.says_nothing ? sizeof number : 0;
    end->reading_pause_ms = now_ms + end->plan.stop_reading_ms;
    if (end->plan.says_nothing)
        end->plan.send_bytes = 0;
}

static void close_end(struct end *end, bool reset)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (reset)
        (void)!setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(end->fd);
    end->fd = -1;
}

static void see_reset(struct end *end)
{
    if (end->seen == ENDING_NONE)
        end->seen = ENDING_RESET;
    close_end(end, false);
}

/* The number goes first, so that the server's end knows whose peer it is. */
static bool send_header(struct end *end)
{
    const char *bytes = (const char *)&end->number + sizeof end->number - end->header_left;
    ssize_t n = send(end->fd, bytes, end->header_left, MSG_NOSIGNAL);

    if (n > 0)
        end->header_left -= (uint64_t)n;
    else if (errno != EAGAIN)
        see_reset(end);
    return end->fd >= 0 && end->header_left == 0;
}

static void finish(struct end *end)
{
    end->finished = true;
    switch (end->plan.finish) {
    case FINISH_FIN:
        shutdown(end->fd, SHUT_WR);
        break;
    case FINISH_CLOSE:
        close_end(end, false);
        break;
    case FINISH_RESET:
        close_end(end, true);
        break;
    }
}

static void maybe_pause(struct end *end, struct random *random, uint64_t *until_ms, uint64_t now_ms)
{
    if (random_below(random, 100) < end->plan.pause_percent)
        *until_ms = now_ms + 1 + random_below(random, end->plan.longest_pause_ms);
}

static void send_some(struct end *end, struct random *random, uint64_t now_ms)
{
    for (int turn = 0; turn < 4 && end->fd >= 0 && !end->finished && now_ms >= end->sending_pause_ms; turn++) {
        uint64_t left = end->plan.send_bytes - end->sent, size = 1 + random_below(random, end->plan.largest_write);
        ssize_t n;

        if (end->header_left > 0 && !send_header(end))
            return;
        if (left == 0) {
            finish(end);
            return;
        }
        size = MIN(MIN(size, left), (uint64_t)MOST_BYTES);
        for (uint64_t i = 0; i < size; i++)
            scratch[i] = plan_byte(end->number, end->side, end->sent + i);
        n = send(end->fd, scratch, size, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN)
                see_reset(end);
            return;
        }
        end->sent += (uint64_t)n;
        maybe_pause(end, random, &end->sending_pause_ms, now_ms);
        if ((uint64_t)n < size)
            return;
    }
}

static void check(struct end *end, size_t length)
{
    enum side peer = end->side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;

    for (size_t i = 0; i < length; i++) {
        if (scratch[i] != plan_byte(end->number, peer, end->received + i) && !end->wrong_byte) {
            end->wrong_byte = true;
            end->wrong_at = end->received + i;
        }
    }
    end->received += length;
}

static void read_some(struct end *end, struct random *random, uint64_t now_ms)
{
    for (int turn = 0; turn < 4 && end->fd >= 0 && end->seen == ENDING_NONE && now_ms >= end->reading_pause_ms;
         turn++) {
        size_t size = 1 + random_below(random, MIN(end->plan.largest_read, (size_t)MOST_BYTES));
        ssize_t n = recv(end->fd, scratch, size, 0);

        if (n < 0) {
            if (errno != EAGAIN)
                see_reset(end);
            return;
        }
        if (n == 0) {
            end->seen = ENDING_FIN;
            return;
        }
        check(end, (size_t)n);
        maybe_pause(end, random, &end->reading_pause_ms, now_ms);
    }
}

void end_turn(struct end *end, struct random *random, uint64_t now_ms)
{
    if (end->plan.aborts) {
        close_end(end, end->plan.finish == FINISH_RESET);
        return;
    }
    if (end->fd >= 0)
        read_some(end, random, now_ms);
    if (end->fd >= 0)
        send_some(end, random, now_ms);
    if (end->fd >= 0 && end->finished && end->seen != ENDING_NONE)
        close_end(end, false);
}
