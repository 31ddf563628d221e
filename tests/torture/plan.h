/* What one end of a torture connection does, drawn from the seed, the connection's number and the side. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum finish {
    FINISH_FIN,   /* sends all, then FIN; reads on to the peer's end */
    FINISH_CLOSE, /* sends all, then close(), whatever the peer still sends */
    FINISH_RESET, /* sends some, then RST */
};

enum side {
    SIDE_CLIENT,
    SIDE_SERVER,
};

struct plan {
    uint64_t send_bytes; /* at the finish */
    enum finish finish;
    size_t largest_write, largest_read;
    unsigned pause_percent; /* of turns that begin with a pause */
    unsigned longest_pause_ms;
    unsigned stop_reading_ms; /* before the first read */
    int receive_buffer;       /* client's; 0: the kernel's choice */
    bool tiny_window;         /* never advertises more than 2 KiB */
    bool says_nothing;        /* client: not even its number */
    bool aborts;              /* client: gone as soon as it has begun to connect */
};

struct plan plan_draw(uint64_t seed, uint64_t number, enum side side);

/* The byte that `side` of connection `number` sends at `place`. */
unsigned char plan_byte(uint64_t number, enum side side, uint64_t place);
