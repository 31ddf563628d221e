/*
 * Who gets a sidecar: one table, first match decides, with its reason in words. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "inject/annotations.h"

#define DECISION_REASON_SIZE 256

/* Namespaces that are left alone when nothing else is said. */
#define DECISION_SYSTEM_NAMESPACES "kube-system,kube-public,kube-node-lease"

struct decision_settings {
    bool only_where_asked;       /* without `inject: "true"` a pod stays as it is */
    const char *left_namespaces; /* with commas between them; NULL: none */
};

/* What it is decided by. */
struct decision_pod {
    const char *namespace; /* "": not known */
    const struct value *metadata, *spec;
    const struct annotations *annotations;
};

/* Whether the pod gets a sidecar. `reason`: why it does not; "" when it does. */
bool decision_make(const struct decision_settings *settings, const struct decision_pod *pod,
                   char reason[DECISION_REASON_SIZE]);
