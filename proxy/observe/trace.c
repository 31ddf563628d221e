#include "proxy/observe/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void trace_init(struct trace *trace)
{
    *trace = (struct trace){ .session = 0 };
    pthread_mutex_init(&trace->mutex, NULL);
}

void trace_done(struct trace *trace)
{
    pthread_mutex_destroy(&trace->mutex);
    free(trace->steps);
}

int trace_watch(struct trace *trace, uint64_t session, const struct trace_choice *choice)
{
    int r = 0;

    pthread_mutex_lock(&trace->mutex);
    if (trace->session != 0 && trace->session != session)
        r = -EBUSY;
    if (r == 0 && !trace->steps)
        trace->steps = calloc(TRACE_MOST_STEPS, sizeof *trace->steps);
    if (r == 0 && !trace->steps)
        r = -ENOMEM;
    if (r == 0) {
        trace->session = session;
        trace->choice = *choice;
        atomic_store(&trace->is_on, true);
    }
    pthread_mutex_unlock(&trace->mutex);
    return r;
}

void trace_stop(struct trace *trace)
{
    pthread_mutex_lock(&trace->mutex);
    atomic_store(&trace->is_on, false);
    free(trace->steps);
    trace->steps = NULL;
    trace->session = 0;
    trace->count = 0;
    trace->dropped = 0;
    pthread_mutex_unlock(&trace->mutex);
}

static bool is_chosen(const struct trace_choice *choice, const struct trace_step *step)
{
    if (choice->cluster[0] != '\0')
        return strcmp(choice->cluster, step->cluster) == 0;
    return choice->worker == step->worker && choice->id == step->id;
}

void trace_keep(struct trace *trace, const struct trace_step *step)
{
    pthread_mutex_lock(&trace->mutex);
    if (!trace->steps || !is_chosen(&trace->choice, step))
        ;
    else if (trace->count == TRACE_MOST_STEPS)
        trace->dropped++;
    else
        trace->steps[trace->count++] = *step;
    pthread_mutex_unlock(&trace->mutex);
}

static void append_text(const struct trace_step *step, struct strbuf *text)
{
    time_t seconds = (time_t)step->time_s;
    char time_text[16];
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(time_text, sizeof time_text, "%H:%M:%S", &utc);
    strbuf_printf(text, "%s.%03uZ %u-%-8" PRIu64 " %-16s ", time_text,
                  (unsigned)((step->time_s - (double)seconds) * 1000), step->worker, step->id, step->cluster);
    if (step->from)
        strbuf_printf(text, "%s -> %s", step->from, step->to);
    strbuf_printf(text, "%s%s\n", step->from && step->detail[0] != '\0' ? ": " : "", step->detail);
}

static void append_json(const struct trace_step *step, struct strbuf *text)
{
    json_t *line;
    char id[32], *packed;

    snprintf(id, sizeof id, "%u-%" PRIu64, step->worker, step->id);
    line = json_pack("{s:f, s:s, s:s, s:s?, s:s?, s:s}", "time", step->time_s, "id", id, "cluster", step->cluster,
                     "from", step->from, "to", step->to, "detail", step->detail);
    packed = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (packed)
        strbuf_printf(text, "%s\n", packed);
    free(packed);
    json_decref(line);
}

void trace_take(struct trace *trace, bool wants_text, struct strbuf *text)
{
    struct trace_step *empty = calloc(TRACE_MOST_STEPS, sizeof *empty), *steps;
    unsigned long dropped;
    size_t count;

    if (!empty)
        return;                        /* what there is waits for the next request */
    pthread_mutex_lock(&trace->mutex); /* workers wait for it: nothing is written out meanwhile */
    steps = trace->steps;
    count = trace->count;
    dropped = trace->dropped;
    trace->steps = empty;
    trace->count = 0;
    trace->dropped = 0;
    pthread_mutex_unlock(&trace->mutex);
    for (size_t i = 0; i < count; i++) {
        if (wants_text)
            append_text(&steps[i], text);
        else
            append_json(&steps[i], text);
    }
    if (dropped > 0)
        strbuf_printf(text, wants_text ? "%lu steps were dropped here\n" : "{\"dropped\":%lu}\n", dropped);
    free(steps);
}
