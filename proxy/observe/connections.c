#include "proxy/observe/connections.h"

#include <inttypes.h>

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

void connections_append_json(const struct connection_view *views, size_t count, size_t total, struct strbuf *text)
{
    json_t *list = json_array(), *answer;

    for (size_t i = 0; i < count; i++) {
        const struct connection_view *view = &views[i];

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:f, s:f, s:o, s:o, s:i, s:i, s:o, s:o}", "direction",
                            direction_name(view->direction), "cluster", view->cluster, "state", view->state, "client",
                            json_address(&view->client.any), "original_destination", json_address(&view->original.any),
                            "endpoint", json_address(&view->endpoint.any), "age_seconds", (double)view->age_ms / 1000,
                            "idle_seconds", (double)view->idle_ms / 1000, "bytes_from_client",
                            json_count(view->bytes_to_upstream), "bytes_from_upstream",
                            json_count(view->bytes_to_client), "attempts", (int)view->attempts, "worker",
                            (int)view->worker, "client_identity", json_identity(view->client_identity),
                            "endpoint_identity", json_identity(view->endpoint_identity)));
    }
    answer = json_pack("{s:o, s:o}", "total", json_count(total), "connections", list);
    json_append(answer, text);
}

static const char *format_address(const struct sockaddr *address, char *text)
{
    return address->sa_family == AF_UNSPEC ? "-" : sockaddr_format(address, text);
}

void connections_append_text(const struct connection_view *views, size_t count, size_t total, struct strbuf *text)
{
    strbuf_printf(text, "%-9s %-20s %-14s %-24s %-24s %8s %8s %11s %11s\n", "DIRECTION", "CLUSTER", "STATE", "CLIENT",
                  "ENDPOINT", "AGE", "IDLE", "FROM CLIENT", "FROM UPSTR.");
    for (size_t i = 0; i < count; i++) {
        const struct connection_view *view = &views[i];
        char client[SOCKADDR_TEXT_SIZE], endpoint[SOCKADDR_TEXT_SIZE];
        char age[UNITS_TEXT_SIZE], idle[UNITS_TEXT_SIZE];
        const struct sockaddr *to = view->endpoint.family == AF_UNSPEC ? &view->original.any : &view->endpoint.any;

        units_format_duration(view->age_ms / 1000 * 1000, age);
        units_format_duration(view->idle_ms / 1000 * 1000, idle);
        strbuf_printf(text, "%-9s %-20s %-14s %-24s %-24s %8s %8s %11" PRIu64 " %11" PRIu64 "\n",
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
