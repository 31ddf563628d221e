/*
 * The kubelet's probes of the app. Behind the sidecar a TCP probe of a captured port always succeeds, and an HTTP one
 * must pass the sidecar's authorization; so they are sent to the proxy's health port, which asks the app itself. What
 * was there before is noted in the pod's annotations.
 *
 * Thread: any one at a time; memory is the arena's.
 */
#pragma once

#include "inject/value.h"

#define PROBES_FILE "probes.yaml" /* where the proxy finds them, beside its configuration */

/*
 * Rewrites the probes of all containers of the app's.
 *
 * ret_originals  what was there, for probes_restore(): a map; empty when there was nothing to rewrite
 * ret_probes     what the proxy is to ask: the file for `outrigger --probes`, as a map
 * Returns 0 or -ENOMEM.
 */
int probes_rewrite(struct arena *arena, struct value *spec, struct value **ret_originals, struct value **ret_probes);

/* Puts back what is in `originals` wherever it is still the proxy that is asked. */
void probes_restore(struct value *spec, struct value *originals);
