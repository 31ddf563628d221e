#include "proxy/observe/identity_status.h"

#include <inttypes.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "proxy/observe/json.h"

static const char *const side_names[] = { [HANDSHAKE_ACCEPTED] = "accepted", [HANDSHAKE_DIALLED] = "dialled" };

const char *handshake_side_name(enum handshake_side side)
{
    return side_names[side];
}

static json_t *time_or_null(int64_t seconds)
{
    return seconds == INT64_MAX ? json_null() : json_integer(seconds);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *describe_side(const uint64_t *ended)
{
    json_t *side = json_object();

    for (enum tls_problem problem = 0; problem < TLS_PROBLEM_COUNT; problem++) {
        if (ended[problem] > 0)
            json_object_set_new(side, tls_problem_name(problem), json_count(ended[problem]));
    }
    return side;
}

void identity_append_json(const struct identity_status *status, struct strbuf *text)
{
    json_t *answer, *handshakes;

    if (!status->is_configured) {
        strbuf_append(text, "null\n");
        return;
    }
    handshakes = json_object();
    for (enum handshake_side side = 0; side < HANDSHAKE_SIDE_COUNT; side++)
        json_object_set_new(handshakes, side_names[side], describe_side(status->handshakes.ended[side]));
    answer = json_pack("{s:o, s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:f, s:o, s:o}", "spiffe_id",
                       text_or_null(status->spiffe_id), "valid_from",
                       status->spiffe_id ? time_or_null(status->valid_from_s) : json_null(), "valid_until",
                       status->spiffe_id ? time_or_null(status->valid_until_s) : json_null(), "crls_until",
                       status->spiffe_id ? time_or_null(status->crls_until_s) : json_null(), "roots",
                       (int)status->roots, "trust_domains", (int)status->trust_domains, "loaded",
                       json_count(status->loaded), "refused", json_count(status->refused), "loaded_at",
                       status->loaded_s, "problem", text_or_null(status->problem), "handshakes", handshakes);
    json_append(answer, text);
}

static void append_handshakes_text(const struct identity_status *status, struct strbuf *text)
{
    for (enum handshake_side side = 0; side < HANDSHAKE_SIDE_COUNT; side++) {
        strbuf_printf(text, "%-12s %" PRIu64 " handshakes succeeded", side_names[side],
                      status->handshakes.ended[side][TLS_PROBLEM_NONE]);
        for (enum tls_problem problem = TLS_PROBLEM_NONE + 1; problem < TLS_PROBLEM_COUNT; problem++) {
            uint64_t count = status->handshakes.ended[side][problem];

            if (count > 0)
                strbuf_printf(text, ", %s %" PRIu64, tls_problem_name(problem), count);
        }
        strbuf_append(text, "\n");
    }
}

static void append_validity_text(int64_t left_s, struct strbuf *text)
{
    if (left_s <= 0) {
        strbuf_append(text, "valid        no longer: it has expired\n");
        return;
    }
    strbuf_append(text, "valid        for another ");
    if (left_s >= 86400)
        strbuf_printf(text, "%" PRId64 " days, ", left_s / 86400);
    strbuf_printf(text, "%" PRId64 " hours and %" PRId64 " minutes\n", left_s / 3600 % 24, left_s / 60 % 60);
}

void identity_append_text(const struct identity_status *status, struct strbuf *text)
{
    if (!status->is_configured) {
        strbuf_append(text, "identity     none is configured: there is no mutual TLS\n");
        return;
    }
    if (!status->spiffe_id) {
        strbuf_append(text, "identity     no certificate yet\n");
    } else {
        strbuf_printf(text, "identity     %s\n", status->spiffe_id);
        append_validity_text(status->valid_until_s - (int64_t)clock_wall_seconds(), text);
        strbuf_printf(text, "trusts       %zu roots of %zu trust domains\n", status->roots, status->trust_domains);
    }
    append_handshakes_text(status, text);
    if (status->problem)
        strbuf_printf(text, "problem      %s\n", status->problem);
}
