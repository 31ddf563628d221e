/*
 * The configuration's schema: one row a key. The rows drive decoding, range checks, --dump-config, --schema and
 * docs/configuration.md, so a key exists exactly when it has a row.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_NUMBER,       /* uint64_t */
    FIELD_DURATION,     /* uint64_t milliseconds */
    FIELD_SIZE,         /* uint64_t bytes */
    FIELD_PERCENT,      /* uint64_t hundredths of a percent */
    FIELD_BOOL,         /* uint64_t, 0 or 1 */
    FIELD_ENUM,         /* uint64_t, an index into `names` */
    FIELD_FLAGS,        /* uint64_t, a bit for each of `names` */
    FIELD_TEXT,         /* const char *; any bytes but NUL */
    FIELD_NAME,         /* const char *; letters, digits, '-', '_', '.', ':' */
    FIELD_PATH,         /* const char *; absolute */
    FIELD_ADDRESS,      /* union sockaddr_any: IPv4 or IPv6 with port */
    FIELD_ENDPOINT,     /* struct host_address: the same, `unix:/path` or a name with port */
    FIELD_CIDRS,        /* struct cidr_list */
    FIELD_PORTS,        /* struct port_list */
    FIELD_HOSTS,        /* struct name_list: names of hosts, in small letters */
    FIELD_SERVER_NAMES, /* the same, and `*.NAME` */
    FIELD_UIDS,         /* struct uid_rules */
    FIELD_IDENTITIES,   /* struct name_list: SPIFFE IDs, a star for a whole segment */
    FIELD_IDENTITY,     /* const char *: one SPIFFE ID, no stars */
    FIELD_TRUST_DOMAIN, /* const char *: a trust domain's name */
    FIELD_SECTION,      /* a struct of its own, described by `section` */
    FIELD_LIST,         /* { items, count } of such structs */
};

enum field_reload {
    RELOAD_RESTART,         /* a reload that changes it is refused */
    RELOAD_NEW_CONNECTIONS, /* reaches connections that begin afterwards */
    RELOAD_AT_ONCE,         /* reaches those that there are, too */
};

/* What an absent section means. */
enum field_presence {
    PRESENCE_OPTIONAL, /* its defaults */
    PRESENCE_REQUIRED, /* an error */
    PRESENCE_SWITCH,   /* the feature is off; the section's struct begins with a uint64_t that tells */
};

struct section;

struct field {
    const char *key;
    enum field_type type;
    enum field_presence presence;
    size_t offset;
    uint64_t min, max; /* both allowed; in the unit of the type; text lengths and item counts too */
    uint64_t def;
    uint64_t def_original_destination; /* the default under discovery: original_destination */
    bool has_def_original_destination;
    const char *keyword;      /* a word that stands for CONFIG_AUTO, e.g. "auto" */
    const char *def_text;     /* default of FIELD_PATH, FIELD_UIDS: as one would write it */
    const char *const *names; /* NULL-terminated */
    const struct section *section;
    enum field_reload reload;
    const char *doc;
};

struct section {
    const char *title;
    size_t size; /* of the struct */
    const struct field *fields;
    size_t count;
    bool is_cluster;            /* inherits from `defaults` and has other defaults under original_destination */
    bool is_inbound;            /* a cluster of the app's own: no circuit breaker unless it is configured */
    unsigned default_discovery; /* of a cluster that names neither discovery nor endpoints */
};

extern const struct section schema_root;

/* The keys of a cluster that `defaults` may set. */
extern const struct section schema_defaults;

/* The keys of `faults`, which can be set while the proxy runs. */
extern const struct section schema_faults;

extern const struct section schema_health_check;

/* A file with nothing but `probes`, for struct probe_list. */
extern const struct section schema_probes_file;

/* How many names a FIELD_ENUM or FIELD_FLAGS row has. */
size_t field_name_count(const struct field *field);

/* Writes a value of a number-like row as one would write it. `text` has `size` bytes; 64 suffice. */
void field_format_value(const struct field *field, uint64_t value, char *text, size_t size);
