/* Matches: what they need, and which of them say the same. */
#pragma once

struct cluster_config;
struct validate;

/* `path` is that of the cluster's `match`. */
void validate_matches(const struct validate *validate, const struct cluster_config *cluster, const char *path);

/* Of all clusters, also of names that two clusters have. Returns 0 or -ENOMEM. */
int validate_match_ties(const struct validate *validate);
