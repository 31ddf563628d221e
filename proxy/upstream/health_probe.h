/*
 * One active check of one address: connects, through mutual TLS where the cluster's connections do, and where the
 * configuration says so, sends and waits for an answer. Through TLS it is the app that is checked, not the sidecar
 * before it: the status of the mesh protocol tells.
 *
 * Owner: the struct around it. Thread: the one that runs the event base.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/sockaddr.h"
#include "proxy/config/model.h"
#include "proxy/net/transport.h"
#include "proxy/tls/carrier.h"
#include "proxy/tls/credential_slot.h"

#define HEALTH_PROBE_MOST_ANSWER 4096 /* bytes that are looked at */

enum health_outcome {
    HEALTH_PASSED,
    HEALTH_FAILED,
    HEALTH_UNKNOWN, /* this machine lacked what the probe needs: descriptors, memory, ports */
};

/* What the main thread has for probes through TLS. */
struct health_tls {
    struct credential_slot *credentials;
    struct carrier_means carriers; /* made when they are needed */
};

struct health_probe {
    const struct health_check_config *config;
    enum proxy_protocol proxy_protocol; /* the cluster's; the caller may set it */
    struct health_tls *tls;
    const struct name_list *peer_identities; /* NULL: without TLS; the caller may set it before each */
    struct transport transport;              /* closed: none is under way */
    struct event timer;                      /* the whole probe's */
    bool connected, announced;
    size_t sent, received;
    char *request; /* what is sent; NULL: nothing */
    char *answer;  /* HEALTH_PROBE_MOST_ANSWER bytes while a probe is under way */

    /* Called once for each probe that has begun, unless it is cancelled. `problem`: why it failed, in words, or NULL.
     */
    void (*done)(struct health_probe *probe, enum health_outcome outcome, const char *problem);
};

void health_probe_init(struct health_probe *probe, const struct health_check_config *config, struct health_tls *tls,
                       void (*done)(struct health_probe *probe, enum health_outcome outcome, const char *problem));

/* `done` may be called before this returns. */
void health_probe_begin(struct health_probe *probe, struct event_base *base, const struct sockaddr *address);
void health_probe_cancel(struct health_probe *probe);
