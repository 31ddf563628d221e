/* What the files with rows have in common; for them alone. */
#pragma once

#include "base/macros.h"
#include "proxy/config/model.h"
#include "proxy/config/schema.h"

#define SECOND 1000ULL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    1024ULL
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

#define FIELDS(array) .fields = (array), .count = ARRAY_SIZE(array)

/* A cluster, and one without a name of its own: what one or more inbound ports use. In schema_cluster.c. */
extern const struct section schema_cluster;
extern const struct section schema_inbound_cluster;

/* In schema_access_log.c. */
extern const struct section schema_access_log;

/* An entry of `probes`. In schema_probes.c. */
extern const struct section schema_probe;
#define PROBES_MOST 256
