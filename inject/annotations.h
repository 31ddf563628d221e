/*
 * What a pod says of its own sidecar: annotations `outrigger.dev/…`, and those of Istio that mean the same. One table
 * makes the parsing, the complaints and the documentation.
 *
 * Thread: any. Texts are borrowed from the pod's metadata.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "inject/value.h"

#define ANNOTATION_PREFIX       "outrigger.dev/"
#define ANNOTATION_ISTIO_PREFIX "traffic.sidecar.istio.io/"
#define ANNOTATION_STATUS       ANNOTATION_PREFIX "status"
#define ANNOTATION_GENERATED    ANNOTATION_PREFIX "generated-config"
#define ANNOTATION_PROBES       ANNOTATION_PREFIX "generated-probes"
#define ANNOTATION_ORIGINALS    ANNOTATION_PREFIX "original-probes"

enum annotation {
    ANNOTATION_INJECT,
    ANNOTATION_SIDECAR,
    ANNOTATION_IMAGE,
    ANNOTATION_CONFIG,
    ANNOTATION_CONFIG_MAP,
    ANNOTATION_LOG_LEVEL,
    ANNOTATION_HOLD_APPLICATION,
    ANNOTATION_REWRITE_PROBES,
    ANNOTATION_IDENTITY_SECRET,
    ANNOTATION_IDENTITY_CSI_DRIVER,
    ANNOTATION_TLS_MODE,
    ANNOTATION_DRAIN_DELAY,
    ANNOTATION_DRAIN_MINIMUM,
    ANNOTATION_DRAIN_TIMEOUT,
    ANNOTATION_CPU,
    ANNOTATION_CPU_LIMIT,
    ANNOTATION_MEMORY,
    ANNOTATION_MEMORY_LIMIT,
    ANNOTATION_FIRST_RULE, /* from here on they are options of outrigger-init */
    ANNOTATION_MODE = ANNOTATION_FIRST_RULE,
    ANNOTATION_INCLUDE_OUTBOUND_CIDRS,
    ANNOTATION_EXCLUDE_OUTBOUND_CIDRS,
    ANNOTATION_INCLUDE_OUTBOUND_PORTS,
    ANNOTATION_EXCLUDE_OUTBOUND_PORTS,
    ANNOTATION_INCLUDE_INBOUND_PORTS,
    ANNOTATION_EXCLUDE_INBOUND_PORTS,
    ANNOTATION_EXCLUDE_INTERFACES,
    ANNOTATION_VIRTUAL_INTERFACES,
    ANNOTATION_COUNT,
};

struct annotations {
    const char *values[ANNOTATION_COUNT]; /* NULL: not given */
};

/* The sidecar's requests when nothing is said. */
#define ANNOTATION_USUAL_CPU    "10m"
#define ANNOTATION_USUAL_MEMORY "32Mi"

/* Whether one quantity of Kubernetes is more than another. */
bool annotation_exceeds(const char *quantity, const char *other);

/* Returns true, or false with what is wrong, and what is allowed, in `problem`. `metadata` may be NULL. */
bool annotations_read(const struct value *metadata, struct annotations *ret_annotations, char *problem, size_t size);

/* Appends docs/annotations.md. */
void annotations_reference(struct strbuf *text);

/* The name behind the prefix, which is also the option of outrigger-init. */
const char *annotation_name(enum annotation annotation);
