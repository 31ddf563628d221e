/*
 * Which cluster an original destination belongs to. A table never changes; whoever has a reference may read it, in any
 * thread.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>

#include "proxy/config/model.h"

/* Rules in the order of match_rules.h. Before those with server names stands one of kind MATCH_SNI_PEEK. */
struct route_table {
    atomic_uint references;
    size_t count;
    size_t ties; /* rules of resolved hosts that share a destination with another of the same rank */
    struct match_rule rules[];
};

/*
 * Copies the rules of `items`, in any order; their `sni` texts are borrowed.
 * ret_table    set on success only; release with route_table_unref()
 * Returns 0 or -ENOMEM.
 */
int route_table_new(const struct match_rule *items, size_t count, struct route_table **ret_table);
void route_table_ref(struct route_table *table);
void route_table_unref(struct route_table *table);

/*
 * The rule that decides about `destination`, NULL when none fits. One of kind MATCH_SNI_PEEK says that it depends on
 * the server name: then route_find_named() decides, `name` in small letters, "" for none.
 *
 * A few binary searches for each length of prefix that there is, and for each label of the name.
 */
const struct match_rule *route_find(const struct route_table *table, const struct sockaddr *destination);
const struct match_rule *route_find_named(const struct route_table *table, const struct sockaddr *destination,
                                          const char *name);
