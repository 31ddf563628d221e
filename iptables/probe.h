/* A real connection, made as a given user: what verify proves the rules with. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/interception.h"
#include "base/sockaddr.h"

/* Who dials, and from where. */
struct probe {
    union inet_address destination;
    union inet_address source; /* AF_UNSPEC: as the kernel likes; a port that is taken is left to the kernel too */
    bool becomes_other;        /* dial as `uid` and `gid`, and not as this process is */
    uint32_t uid, gid;
    uint64_t deadline_ms; /* on clock_now_ms() */
    bool reads_answer;    /* read a line from whoever accepts */
};

struct probe_report {
    bool not_tried; /* it could not become that user: `error` says why */
    int error;      /* of connect(2): 0 or a negative errno */
    union inet_address source;
    char answer[INTERCEPTION_PROBE_ANSWER_SIZE]; /* without its newline */
};

/* Returns 0 when `ret_report` is filled in, or a negative errno. Blocks up to the deadline. */
int probe_dial(const struct probe *probe, struct probe_report *ret_report);

/* Listens where the proxy would. Returns 0, -EADDRINUSE when somebody does already, or another negative errno. */
int probe_listen(sa_family_t family, uint16_t port, int *ret_fd);

/* Whether the connection from `source` comes to the listener, with its original destination. Resets all that come. */
bool probe_has_arrived(int listener, const union inet_address *destination, const union inet_address *source,
                       uint64_t deadline_ms);
