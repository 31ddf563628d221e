/*
 * Connections counted by what they belong to, over all workers: a scope, and in it the address that they come from.
 * Only what has connections takes memory, so that it is bounded by them. A limit of 1 is 1 over all workers.
 *
 * Thread: any.
 */
#pragma once

#include <stdint.h>

#include "base/sockaddr.h"

struct tally;

/* Costs no resident memory before it is used. Returns 0 or -ENOMEM. */
int tally_new(struct tally **ret_tally);

/* Everything must have been given back. */
void tally_free(struct tally *tally);

/*
 * Takes one of the `most` places that `source` has in `scope`; NULL: of those that `scope` has for all together. The
 * port of `source` does not matter, and an IPv4 address is the same through a socket of IPv6. `scope` is only compared.
 * Returns 0, -EDQUOT when none is left, or -ENOMEM.
 */
int tally_take(struct tally *tally, const void *scope, const union inet_address *source, uint64_t most);

/* Gives back what was taken with the same arguments. */
void tally_give(struct tally *tally, const void *scope, const union inet_address *source);
