/*
 * Brings a configuration into force, the first one or another in its place: all of it or nothing.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <stdbool.h>

struct config;
struct process;

/*
 * Takes over `config`, whatever comes of it. Everything that can fail comes first; then the workers change over, one
 * after the other and soon (configuration_is_settled()). Clusters, endpoints and listeners that are in both stay as
 * they are.
 *
 * Returns 0 or a negative errno: then what failed was logged, and everything is as it was.
 */
int configuration_apply(struct process *process, struct config *config);

/* Whether every worker has changed over. Until then there must be no other. */
bool configuration_is_settled(const struct process *process);

/* Frees those that are no longer used. To be called now and then. Returns whether some are left. */
bool configuration_forget_old(struct process *process);

unsigned configuration_count_old(const struct process *process);

/* At the end: all of them. The workers must be gone. */
void configuration_free_all(struct process *process);
