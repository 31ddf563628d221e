/* What no single row can see: names that must exist, values that exclude each other, ambiguous matches. */
#pragma once

#include "proxy/config/model.h"
#include "proxy/config/node.h"
#include "proxy/config/report.h"

/*
 * Checks a decoded configuration; `root` is its document, for the places (NULL for the built-in configuration).
 * Returns 0 or -ENOMEM; mistakes go to `report`.
 */
int config_validate(const struct node *root, struct config *config, struct report *report);

/* A fault that says half of what it needs would inject nothing: what is wrong with *ret_key of `faults`, or NULL. */
const char *validate_faults(const struct faults_config *faults, const char **ret_key);
