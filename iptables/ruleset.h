/*
 * The redirect rules as data: what plan.c makes, render.c prints, encode.c sends to the kernel and decode.c reads back.
 * Every rule is for TCP; the chains are base chains of one table.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/port_range.h"

#define RULESET_TABLE      "outrigger" /* family inet */
#define RULESET_MOST_RULES 4096
#define RULE_MOST_MATCHES  4
#define RULE_REASON_SIZE   96

enum match_kind {
    MATCH_IN_LOOPBACK,   /* comes in by lo */
    MATCH_OUT_LOOPBACK,  /* leaves through lo */
    MATCH_IN_INTERFACE,  /* by name */
    MATCH_OUT_INTERFACE, /* by name */
    MATCH_UID,           /* of the socket's owner */
    MATCH_GID,
    MATCH_SOURCE,
    MATCH_DESTINATION,
    MATCH_PORT,         /* destination port */
    MATCH_MARK,         /* the packet's mark */
    MATCH_TRACKED_MARK, /* the mark that conntrack keeps with the connection */
    MATCH_REPLY,        /* the packet goes against the connection's direction */
    MATCH_NEW,          /* it is the first of its connection */
    MATCH_INVALID,      /* conntrack can place it in no connection */
};

struct match {
    enum match_kind kind;
    bool negated;
    union {
        uint32_t id;              /* MATCH_UID, MATCH_GID, MATCH_MARK, MATCH_TRACKED_MARK */
        struct cidr block;        /* MATCH_SOURCE, MATCH_DESTINATION */
        struct port_range ports;  /* MATCH_PORT */
        char interface[IFNAMSIZ]; /* MATCH_IN_INTERFACE, MATCH_OUT_INTERFACE; a last `*` stands for any rest */
    };
};

enum verdict {
    VERDICT_RETURN,    /* left alone */
    VERDICT_REDIRECT,  /* to `port` of this machine */
    VERDICT_TPROXY,    /* to the transparent socket on `port`, with `mark`; conntrack keeps ruleset_taken_mark() */
    VERDICT_SET_MARK,  /* the packet gets `mark`, and the next rule is asked */
    VERDICT_SAVE_MARK, /* conntrack keeps `mark`, and the next rule is asked */
    VERDICT_DROP,
    VERDICT_RESET, /* answered with RST */
};

/* In the order in which the table lists them. */
enum chain {
    CHAIN_OUTBOUND, /* nat, output: connections that this network namespace makes */
    CHAIN_INBOUND,  /* nat, prerouting: connections that come in */
    CHAIN_TPROXY,   /* filter, prerouting: the same in TPROXY mode, before nat */
    CHAIN_TAKEN,    /* filter, input: what only a transparent socket may have, and nobody else */
    CHAIN_REPLIES,  /* route, output: in TPROXY mode, what the app answers goes back to the proxy */
    CHAIN_INVALID,  /* filter, prerouting */
    CHAIN_COUNT
};

struct rule {
    enum chain chain;
    struct match matches[RULE_MOST_MATCHES];
    size_t match_count;
    enum verdict verdict;
    uint16_t port;
    uint32_t mark;
    uint64_t packets, bytes;       /* what the kernel has counted; 0 in a plan */
    char reason[RULE_REASON_SIZE]; /* in words; the rule's comment */
};

/* Rules in order, chain by chain. An all-zero struct is empty. */
struct ruleset {
    struct rule *rules;
    size_t count;
};

void ruleset_done(struct ruleset *ruleset);

/* Appends a copy. Returns 0, -ENOMEM, or -E2BIG beyond RULESET_MOST_RULES. */
int ruleset_append(struct ruleset *ruleset, const struct rule *rule);

/* Whether the chain has any rule. */
bool ruleset_has_chain(const struct ruleset *ruleset, enum chain chain);

/* Whether both say the same, whatever was counted. */
bool ruleset_equal(const struct ruleset *a, const struct ruleset *b);

/* What conntrack keeps of a connection that a transparent socket has taken, in the mode that has `mark` for packets. */
uint32_t ruleset_taken_mark(uint32_t mark);

/* The mark of TPROXY mode, or 0 when no rule has one. */
uint32_t ruleset_mark(const struct ruleset *ruleset);

/* A base chain's place. */
struct chain_place {
    const char *name;
    const char *type; /* nat, filter or route */
    uint32_t hook;    /* NF_INET_… */
    int32_t priority;
    const char *text; /* type, hook, priority and policy, as `nft list table` writes them */
};

const struct chain_place *ruleset_chain_place(enum chain chain);

/* The first packet of a connection as the rules see it. */
struct flow {
    const char *in_interface;  /* NULL when this namespace makes the connection */
    const char *out_interface; /* NULL when it comes in */
    uint32_t uid, gid;
    const struct sockaddr *source, *destination;
};

/* The rule of `chain` that decides about `flow`, or NULL when none does: then the chain leaves it alone. Pure. */
const struct rule *ruleset_decide(const struct ruleset *ruleset, enum chain chain, const struct flow *flow);

/* The same over the chains that it passes, in their order. */
const struct rule *ruleset_trace(const struct ruleset *ruleset, const struct flow *flow);

/* Where a connection ends up. */
enum landing {
    LANDS_DIRECT,   /* where it was going */
    LANDS_OUTBOUND, /* at the proxy's outbound port */
    LANDS_INBOUND,  /* at the proxy's inbound port */
    LANDS_DROPPED,  /* nowhere */
};

/* What the rule that decides, or none (NULL), makes of the connection. */
enum landing ruleset_landing(const struct ruleset *ruleset, const struct rule *rule);
