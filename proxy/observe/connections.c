#include "proxy/observe/connections.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/units.h"
#include "proxy/observe/json.h"

static json_t *json_address(const struct sockaddr *address)
{
    char text[SOCKADDR_TEXT_SIZE];

    return address->sa_family == AF_UNSPEC ? json_null() : json_string(sockaddr_format(address, text));
}

static json_t *json_identity(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *describe(const struct connection_view *view)
{
    char id[32];

    snprintf(id, sizeof id, "%u-%" PRIu64, view->worker, view->id);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:f, s:f, s:o, s:o, s:i, s:i, s:o, s:o}", "id", id,
                     "direction", direction_name(view->direction), "cluster", view->cluster, "state", view->state,
                     "client", json_address(&view->client.any), "original_destination",
                     json_address(&view->original.any), "endpoint", json_address(&view->endpoint.any), "age_seconds",
                     (double)view->age_ms / 1000, "idle_seconds", (double)view->idle_ms / 1000, "bytes_from_client",
                     json_count(view->bytes_to_upstream), "bytes_from_upstream", json_count(view->bytes_to_client),
                     "attempts", (int)view->attempts, "worker", (int)view->worker, "client_identity",
                     json_identity(view->client_identity), "endpoint_identity", json_identity(view->endpoint_identity));
}

void connections_append_json(const struct connection_view *views, size_t count, size_t total, struct strbuf *text)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, describe(&views[i]));
    json_append(json_pack("{s:o, s:o}", "total", json_count(total), "connections", list), text);
}

void endings_append_list_json(const struct ending_view *views, size_t count, struct strbuf *text)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *ending = describe(&views[i].connection);

        json_object_set_new(ending, "time", json_real(views[i].time_s));
        json_object_set_new(ending, "reason", json_string(end_reason_name(views[i].reason)));
        json_object_set_new(ending, "meaning", json_string(end_reason_meaning(views[i].reason)));
        json_object_set_new(ending, "ended_by", json_string(end_party_name(views[i].ended_by)));
        json_array_append_new(list, ending);
    }
    json_append(json_pack("{s:o}", "endings", list), text);
}

static const char *format_address(const struct sockaddr *address, char *text)
{
    return address->sa_family == AF_UNSPEC ? "-" : sockaddr_format(address, text);
}

void connections_append_text(const struct connection_view *views, size_t count, size_t total, struct strbuf *text)
{
    strbuf_printf(text, "%-10s %-9s %-20s %-14s %-24s %-24s %8s %8s %11s %11s\n", "ID", "DIRECTION", "CLUSTER", "STATE",
                  "CLIENT", "ENDPOINT", "AGE", "IDLE", "FROM CLIENT", "FROM UPSTR.");
    for (size_t i = 0; i < count; i++) {
        const struct connection_view *view = &views[i];
        char client[SOCKADDR_TEXT_SIZE], endpoint[SOCKADDR_TEXT_SIZE];
        char age[UNITS_TEXT_SIZE], idle[UNITS_TEXT_SIZE], id[32];
        const struct sockaddr *to = view->endpoint.family == AF_UNSPEC ? &view->original.any : &view->endpoint.any;

        units_format_duration(view->age_ms / 1000 * 1000, age);
        units_format_duration(view->idle_ms / 1000 * 1000, idle);
        snprintf(id, sizeof id, "%u-%" PRIu64, view->worker, view->id);
        strbuf_printf(text, "%-10s %-9s %-20s %-14s %-24s %-24s %8s %8s %11" PRIu64 " %11" PRIu64 "\n", id,
                      direction_name(view->direction), view->cluster, view->state,
                      format_address(&view->client.any, client), format_address(to, endpoint), age, idle,
                      view->bytes_to_upstream, view->bytes_to_client);
        if (view->client_identity[0] != '\0')
            strbuf_printf(text, "          client %s\n", view->client_identity);
        if (view->endpoint_identity[0] != '\0')
            strbuf_printf(text, "          endpoint %s\n", view->endpoint_identity);
    }
    if (count < total)
        strbuf_printf(text, "%zu of %zu connections\n", count, total);
}

void endings_append_list_text(const struct ending_view *views, size_t count, struct strbuf *text)
{
    if (count == 0) {
        strbuf_append(text, "no connection has ended in a way that was not meant\n");
        return;
    }
    strbuf_printf(text, "%-12s %-10s %-9s %-20s %-20s %-8s %-24s %-24s %8s\n", "TIME", "ID", "DIRECTION", "CLUSTER",
                  "REASON", "BY", "CLIENT", "ENDPOINT", "AGE");
    for (size_t i = 0; i < count; i++) {
        const struct connection_view *view = &views[i].connection;
        char client[SOCKADDR_TEXT_SIZE], endpoint[SOCKADDR_TEXT_SIZE], age[UNITS_TEXT_SIZE], id[32], time_text[16];
        const struct sockaddr *to = view->endpoint.family == AF_UNSPEC ? &view->original.any : &view->endpoint.any;
        time_t seconds = (time_t)views[i].time_s;
        struct tm utc;

        gmtime_r(&seconds, &utc);
        strftime(time_text, sizeof time_text, "%H:%M:%SZ", &utc);
        snprintf(id, sizeof id, "%u-%" PRIu64, view->worker, view->id);
        units_format_duration(view->age_ms, age);
        strbuf_printf(text, "%-12s %-10s %-9s %-20s %-20s %-8s %-24s %-24s %8s\n", time_text, id,
                      direction_name(view->direction), view->cluster, end_reason_name(views[i].reason),
                      end_party_name(views[i].ended_by), format_address(&view->client.any, client),
                      format_address(to, endpoint), age);
    }
}
