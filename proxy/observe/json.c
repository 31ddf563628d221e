#include "proxy/observe/json.h"

#include <stdlib.h>

/* Times since the epoch to the millisecond have 13 digits; more than 15 show what a double cannot hold. */
#define DIGITS 15

json_t *json_count(uint64_t count)
{
    return json_integer((json_int_t)count);
}

void json_append(json_t *tree, struct strbuf *text)
{
    char *json = json_dumps(tree, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS));

    strbuf_append(text, json ? json : "{}");
    strbuf_append(text, "\n");
    free(json);
    json_decref(tree);
}
