/*
 * SPIFFE IDs (spiffe.io, "The SPIFFE Identity and Verifiable Identity Document"): `spiffe://TRUST-DOMAIN/PATH`. A value
 * that is compared byte for byte and by its length: nothing is decoded, folded or guessed. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SPIFFE_ID_MOST_BYTES    2048 /* section 2.3 */
#define TRUST_DOMAIN_MOST_BYTES 255

/* Borrows its bytes, which need not be terminated. All zero: none. */
struct spiffe_id {
    const char *text;
    size_t length;
    size_t path; /* where the path begins, with its slash; `length` without one */
};

/*
 * ret_id       set on success only; borrows `text`
 * ret_problem  set otherwise: what is wrong, static
 * Returns 0 or -EINVAL.
 */
int spiffe_id_parse(const char *text, size_t length, struct spiffe_id *ret_id, const char **ret_problem);

bool spiffe_id_has_path(const struct spiffe_id *id);
bool spiffe_id_equals(const struct spiffe_id *one, const struct spiffe_id *other);

/* Whether it belongs to the trust domain of that name. */
bool spiffe_id_is_in(const struct spiffe_id *id, const char *trust_domain);

bool spiffe_trust_domain_is_valid(const char *text, size_t length);

/*
 * The same, but whole segments of the path may be a star, which stands for exactly one segment: any service account of
 * a namespace is spiffe://cluster.local/ns/shop/sa/ and a star. Returns and errors as spiffe_id_parse().
 */
int spiffe_pattern_parse(const char *text, size_t length, struct spiffe_id *ret_pattern, const char **ret_problem);
bool spiffe_pattern_matches(const struct spiffe_id *pattern, const struct spiffe_id *id);
