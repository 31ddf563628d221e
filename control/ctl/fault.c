/* `fault set|clear CLUSTER`: turns the words of a person into the body of a request. What they mean the proxy checks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "control/ctl/ctl.h"

#define MOST_PATH 128
#define MOST_BODY 1024

/* The keys, and the two parts of a value that has two: `delay=10%:200ms`. */
static const struct {
    const char *key, *first, *second;
} faults[] = {
    { "delay", "percent", "time" },
    { "refuse", "percent", NULL },
    { "reset", "percent", "after" },
    { "bandwidth", NULL, NULL },
};

static int complain(const char *problem, const char *word)
{
    fprintf(stderr,
            "outriggerctl: fault: %s \"%s\"; allowed: delay=PERCENT:TIME refuse=PERCENT reset=PERCENT[:BYTES] "
            "bandwidth=BYTES\n",
            problem, word);
    return CTL_USAGE;
}

/* The index of a fault's key, or -1. */
static int find_fault(const char *key, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        if (strlen(faults[i].key) == length && strncmp(faults[i].key, key, length) == 0)
            return (int)i;
    }
    return -1;
}

/* Writes the value as JSON; returns its length. */
static int write_value(const char *first, const char *second, const char *value, char *text, size_t size)
{
    const char *colon = strchr(value, ':');

    if (!first)
        return snprintf(text, size, "\"%s\"", value);
    if (!colon)
        return snprintf(text, size, "{\"%s\": \"%s\"}", first, value);
    return snprintf(text, size, "{\"%s\": \"%.*s\", \"%s\": \"%s\"}", first, (int)(colon - value), value, second,
                    colon + 1);
}

/* Appends `word` as JSON. Returns 0 or CTL_USAGE. */
static int append_fault(const char *word, char *body)
{
    const char *value = strchr(word, '=');
    size_t length = strlen(body);
    char json[MOST_BODY / 2];
    int index, n;

    if (!value || strpbrk(word, "\"\\\n"))
        return complain("this is not understood:", word);
    index = find_fault(word, (size_t)(value - word));
    value++;
    if (index < 0)
        return complain("there is no such fault:", word);
    if (strchr(value, ':') && !faults[index].second)
        return complain("one value is too many in", word);
    n = write_value(faults[index].first, faults[index].second, value, json, sizeof json);
    if (n < (int)sizeof json)
        n = snprintf(body + length, MOST_BODY - length, "%s\"%s\": %s", length > 1 ? ", " : "", faults[index].key,
                     json);
    if (n >= (int)sizeof json || length + (size_t)n + sizeof "}" > MOST_BODY)
        return complain("too long:", word);
    return 0;
}

static int make_path(const char *cluster, char *path)
{
    if (cluster[0] != '\0' && strlen(cluster) < 64 && !strpbrk(cluster, " \t\r\n?/"))
        return snprintf(path, MOST_PATH, "/faults/%s", cluster) > 0 ? 0 : CTL_USAGE;
    fprintf(stderr, "outriggerctl: fault: \"%s\" is not the name of a cluster\n", cluster);
    return CTL_USAGE;
}

int ctl_fault(const struct ctl_options *options)
{
    char path[MOST_PATH], body[MOST_BODY] = "{";
    char **words = options->command;
    bool clears = words[0] && strcmp(words[0], "clear") == 0;
    int r;

    if (!words[0] || !(clears || strcmp(words[0], "set") == 0) || !words[1] || (clears && words[2])) {
        fputs("outriggerctl: fault: write `fault set CLUSTER FAULT...` or `fault clear CLUSTER`\n", stderr);
        return CTL_USAGE;
    }
    r = make_path(words[1], path);
    for (char **word = words + 2; r == 0 && *word; word++)
        r = append_fault(*word, body);
    if (r != 0)
        return r;
    strcat(body, "}");
    return ctl_ask_and_print(options, clears ? "DELETE" : "POST", path, clears ? "" : body);
}
