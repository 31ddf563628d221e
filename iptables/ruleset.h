/*
 * The redirect rules as data: what plan.c makes, render.c prints, encode.c sends to the kernel and decode.c reads back.
 * Every rule is for TCP; the chains are base chains of one table.
 */
#pragma once

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
    MATCH_OUT_LOOPBACK, /* leaves through lo */
    MATCH_UID,          /* of the socket's owner */
    MATCH_GID,
    MATCH_SOURCE,
    MATCH_DESTINATION,
    MATCH_PORT, /* destination port */
};

struct match {
    enum match_kind kind;
    bool negated;
    uint32_t id;             /* MATCH_UID, MATCH_GID */
    struct cidr block;       /* MATCH_SOURCE, MATCH_DESTINATION */
    struct port_range ports; /* MATCH_PORT */
};

enum verdict {
    VERDICT_RETURN,   /* left alone */
    VERDICT_REDIRECT, /* to `port` of this machine */
};

enum chain {
    CHAIN_OUTBOUND, /* nat, hook output: connections that this network namespace makes */
    CHAIN_INBOUND,  /* nat, hook prerouting: connections that come in */
    CHAIN_COUNT
};

struct rule {
    enum chain chain;
    struct match matches[RULE_MOST_MATCHES];
    size_t match_count;
    enum verdict verdict;
    uint16_t port;
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

const char *ruleset_chain_name(enum chain chain);

/* Whether the chain has any rule. */
bool ruleset_has_chain(const struct ruleset *ruleset, enum chain chain);

/* A connection as the rules see it. */
struct flow {
    enum chain chain;
    bool out_loopback;
    uint32_t uid, gid;
    const struct sockaddr *source, *destination;
};

/* The rule that decides about `flow`, or NULL when none does: then the connection is left alone. Pure. */
const struct rule *ruleset_decide(const struct ruleset *ruleset, const struct flow *flow);
