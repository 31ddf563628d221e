/* One end of a torture connection: sends and reads as its plan says, and remembers what it saw. */
#pragma once

#include "base/random.h"
#include "tests/torture/plan.h"

enum ending {
    ENDING_NONE,
    ENDING_FIN,
    ENDING_RESET,
};

struct end {
    int fd; /* -1: closed */
    enum side side;
    uint64_t number;
    struct plan plan;
    uint64_t header_left; /* client: bytes of its number still to be sent */
    uint64_t sent, received;
    uint64_t sending_pause_ms, reading_pause_ms; /* until then */
    bool finished;                               /* it has done what plan.finish says */
    enum ending seen;
    bool wrong_byte;
    uint64_t wrong_at;
};

void end_init(struct end *end, int fd, uint64_t seed, uint64_t number, enum side side, uint64_t now_ms);

/* Does what can be done now. Closes the descriptor when nothing is left to do. */
void end_turn(struct end *end, struct random *random, uint64_t now_ms);
