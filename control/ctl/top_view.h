/* How `top` looks: two looks at the proxy become lines of text. Pure. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "control/ctl/top_look.h"

struct top_choice {
    enum top_column sort;       /* the most first; TOP_COLUMN_COUNT: by name */
    char filter[TOP_NAME_SIZE]; /* only clusters, and their endpoints, that have it in their names */
    bool hides_endpoints, hides_reasons;
    int width, height; /* of the terminal; 0: no limit */
    const char *hint;  /* the last line; NULL: none */
};

void top_view_print(const struct top_look *before, const struct top_look *now, const struct top_choice *choice,
                    FILE *out);

/* "active", "opened", …; "name". */
const char *top_view_sort_name(enum top_column sort);
