/* The own credentials and the handshakes with them. Without `identity` in the configuration they have no samples. */
#include <stdio.h>

#include "base/macros.h"
#include "proxy/observe/metrics.h"

static void append_expiry(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    if (source->identity->spiffe_id)
        metrics_value(text, name, "", (double)source->identity->valid_until_s);
}

static void append_crl_update(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    if (source->identity->spiffe_id && source->identity->crls_until_s != INT64_MAX)
        metrics_value(text, name, "", (double)source->identity->crls_until_s);
}

static void append_loads(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    if (!source->identity->is_configured)
        return;
    metrics_count(text, name, "outcome=\"succeeded\"", source->identity->loaded);
    metrics_count(text, name, "outcome=\"refused\"", source->identity->refused);
}

static void append_load_successful(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    if (source->identity->is_configured)
        metrics_count(text, name, "", source->identity->problem == NULL);
}

static void append_handshakes(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    if (!source->identity->is_configured)
        return;
    for (enum handshake_side side = 0; side < HANDSHAKE_SIDE_COUNT; side++) {
        for (enum tls_problem problem = 0; problem < TLS_PROBLEM_COUNT; problem++) {
            uint64_t count = source->identity->handshakes.ended[side][problem];
            char labels[96];

            snprintf(labels, sizeof labels, "side=\"%s\",problem=\"%s\"", handshake_side_name(side),
                     tls_problem_name(problem));
            if (count > 0 || problem == TLS_PROBLEM_NONE)
                metrics_count(text, name, labels, count);
        }
    }
}

static void append_durations(const struct metrics_source *source, const char *name, struct strbuf *text)
{
    if (!source->identity->is_configured)
        return;
    for (enum handshake_side side = 0; side < HANDSHAKE_SIDE_COUNT; side++) {
        char labels[32];

        snprintf(labels, sizeof labels, "side=\"%s\"", handshake_side_name(side));
        metrics_histogram(text, name, labels, &source->identity->handshakes.duration[side]);
    }
}

#define PREFIX "outrigger_"

static const struct metric_family families[] = {
    { PREFIX "certificate_expiry_timestamp_seconds", "gauge", "",
      "When the own certificate, or one between it and the root, expires.", append_expiry },
    { PREFIX "crl_next_update_timestamp_seconds", "gauge", "", "When the first of the revocation lists is out of date.",
      append_crl_update },
    { PREFIX "credential_loads_total", "counter", "outcome", "Loads of certificate, key and bundles, by outcome.",
      append_loads },
    { PREFIX "credential_last_load_successful", "gauge", "",
      "0 when the files could not be used the last time, and older credentials, or none, are in force.",
      append_load_successful },
    { PREFIX "tls_handshakes_total", "counter", "side, problem",
      "Handshakes that ended, by what was wrong; `none`: they succeeded.", append_handshakes },
    { PREFIX "tls_handshake_duration_seconds", "histogram", "side, le", "What handshakes took that succeeded.",
      append_durations },
};

const struct metric_table metrics_of_identity = { "Identity", families, ARRAY_SIZE(families) };
