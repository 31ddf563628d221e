/*
 * Proves that the redirect rules are in force, where intercept.require asks for it: a connection of the proxy's own to
 * an address that only the rules lead back to it. No marker file, which could be stale or forged.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event.h>

struct interception_check;

/*
 * Begins, and tries again until it succeeds. `on_proven` is called once. Returns 0 or -ENOMEM.
 * ret_check    release with interception_check_free(), before or after
 */
int interception_check_new(struct event_base *base, void (*on_proven)(void *owner), void *owner,
                           struct interception_check **ret_check);
void interception_check_free(struct interception_check *check);
