#include "proxy/observe/connection_filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/units.h"

static const struct {
    const char *name;
    size_t offset, size;
} texts[] = {
#define TEXT(member)                                                                                       \
    {                                                                                                      \
#member, offsetof(struct connection_filter, member), sizeof((struct connection_filter *)0)->member \
    }
    TEXT(id), TEXT(cluster), TEXT(direction), TEXT(state), TEXT(client), TEXT(endpoint),
#undef TEXT
};

static bool read_word(const char *name, size_t name_length, const char *value, size_t length,
                      struct connection_filter *filter, char *problem, size_t size)
{
    char duration[32];
    uint64_t *ms;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (strlen(texts[i].name) != name_length || strncmp(texts[i].name, name, name_length) != 0)
            continue;
        snprintf((char *)filter + texts[i].offset, texts[i].size, "%.*s", (int)length, value);
        return true;
    }
    ms = name_length == 3 && strncmp(name, "age", 3) == 0    ? &filter->age_ms
         : name_length == 4 && strncmp(name, "idle", 4) == 0 ? &filter->idle_ms
                                                             : NULL;
    snprintf(duration, sizeof duration, "%.*s", (int)length, value);
    if (ms && units_parse_duration(duration, ms) == 0)
        return true;
    snprintf(problem, size,
             ms ? "%.*s: a duration is wanted, as 250ms, 5s, 1m"
                : "\"%.*s\" is not known; allowed: id, cluster, direction, state, client, endpoint, age, idle",
             (int)MIN(name_length, (size_t)64), name);
    return false;
}

bool connection_filter_parse(const char *query, struct connection_filter *ret_filter, char *problem, size_t size)
{
    *ret_filter = (struct connection_filter){ .age_ms = 0 };
    while (*query) {
        size_t length = strcspn(query, "&"), name = strcspn(query, "=&");
        const char *value = query + MIN(name + 1, length);

        if (length > 0 && !read_word(query, name, value, length - (size_t)(value - query), ret_filter, problem, size))
            return false;
        query += length + (query[length] == '&');
    }
    return true;
}

static bool is_or_any(const char *wanted, const char *text)
{
    return wanted[0] == '\0' || strcmp(wanted, text) == 0;
}

static bool begins_with(const char *wanted, const struct sockaddr *address)
{
    char text[SOCKADDR_TEXT_SIZE];

    if (wanted[0] == '\0')
        return true;
    return address->sa_family != AF_UNSPEC && strncmp(sockaddr_format(address, text), wanted, strlen(wanted)) == 0;
}

bool connection_filter_matches(const struct connection_filter *filter, const struct connection_view *view)
{
    char id[32];

    snprintf(id, sizeof id, "%u-%" PRIu64, view->worker, view->id);
    return is_or_any(filter->id, id) && is_or_any(filter->cluster, view->cluster) &&
           is_or_any(filter->direction, direction_name(view->direction)) && is_or_any(filter->state, view->state) &&
           begins_with(filter->client, &view->client.any) && begins_with(filter->endpoint, &view->endpoint.any) &&
           view->age_ms >= filter->age_ms && view->idle_ms >= filter->idle_ms;
}
