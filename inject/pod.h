/*
 * Adds the sidecar to a pod, or takes it out again. What was added is noted in the annotation `outrigger.dev/status`,
 * so that taking it out leaves the pod as it was, and adding it again changes nothing.
 *
 * Thread: any one at a time; memory is the arena's.
 */
#pragma once

#include <stdbool.h>

#include "inject/decision.h"
#include "inject/value.h"

struct inject_settings {
    const char *image;
    bool ordinary; /* an ordinary container, where native sidecars are not there (Kubernetes before 1.29) */
    struct decision_settings decision;
};

enum pod_verdict {
    POD_INJECTED,
    POD_SKIPPED, /* and why */
    POD_REFUSED, /* the pod asks for something that cannot be; and what */
    POD_NO_MEMORY,
};

#define POD_WORDS_SIZE 512

/* What came of it, in words: for the webhook's warnings, and for people. */
struct pod_outcome {
    enum pod_verdict verdict;
    char reason[POD_WORDS_SIZE];  /* of skipped and refused */
    char warning[POD_WORDS_SIZE]; /* "": none */
};

/* `metadata` and `spec` are maps; `namespace` is "" where it is not known. A pod that has the sidecar gets it anew,
 * from what its annotations say now. */
void pod_inject(struct arena *arena, const char *namespace, struct value *metadata, struct value *spec,
                const struct inject_settings *settings, struct pod_outcome *ret_outcome);

/* Returns whether it was there. */
bool pod_uninject(struct arena *arena, struct value *metadata, struct value *spec);
