/* What the files that validate have in common; for them alone. */
#pragma once

#include "base/macros.h"
#include "proxy/config/model.h"
#include "proxy/config/node.h"
#include "proxy/config/report.h"

#define MOST_PATH 160

struct validate {
    const struct node *root;
    struct config *config;
    struct report *report;
};

/* The node that `path` names (`clusters[2].retry`), or the last one on the way that exists. */
const struct node *validate_find_place(const struct node *root, const char *path);

/* The key of the proxy's own port, on every address, that `port` is; NULL: none. */
const char *validate_own_port(const struct config *config, uint16_t port);

/* Reports a mistake at the place of `path`. */
void validate_complain(const struct validate *validate, const char *path, const char *format, ...) PRINTF_LIKE(3, 4);
