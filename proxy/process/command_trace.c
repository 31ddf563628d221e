#include "proxy/process/command_trace.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "proxy/process/process.h"

#define FORGOTTEN_S 3 /* who has not asked for so long watches no more */
#define MOST_WORDS  512

static void on_forgotten(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;

    (void)fd;
    (void)what;
    trace_stop(&process->trace);
}

void command_trace_init(struct process *process)
{
    trace_init(&process->trace);
    process->shared.trace = &process->trace;
    evtimer_assign(&process->trace_forgotten, process->base, on_forgotten, process);
}

void command_trace_done(struct process *process)
{
    if (event_initialized(&process->trace_forgotten))
        event_del(&process->trace_forgotten);
    trace_done(&process->trace);
}

/* `0-12` */
static bool read_connection(const char *text, struct trace_choice *choice)
{
    char worker[16];
    size_t length = strcspn(text, "-");
    uint64_t number;

    if (text[length] != '-' || length >= sizeof worker)
        return false;
    snprintf(worker, sizeof worker, "%.*s", (int)length, text);
    if (units_parse_number(worker, &number) < 0 || number > 63)
        return false;
    choice->worker = (unsigned)number;
    return units_parse_number(text + length + 1, &choice->id) == 0 && choice->id > 0;
}

/* `session=NUMBER NAME`, where the name is a cluster's, or a connection's. Returns NULL, or what is wrong. */
static const char *read_words(const struct process *process, const char *body, uint64_t *ret_session,
                              struct trace_choice *ret_choice)
{
    char words[MOST_WORDS], *rest = words, *session, *name;

    snprintf(words, sizeof words, "%s", body);
    session = strsep(&rest, " ");
    name = strsep(&rest, " \r\n");
    *ret_choice = (struct trace_choice){ .id = 0 };
    if (strncmp(session, "session=", 8) != 0 || units_parse_number(session + 8, ret_session) < 0 || *ret_session == 0)
        return "the body must be: session=NUMBER CLUSTER|CONNECTION";
    if (!name || name[0] == '\0')
        return NULL;
    if (cluster_set_find(process->snapshot->clusters, name)) {
        snprintf(ret_choice->cluster, sizeof ret_choice->cluster, "%s", name);
        return NULL;
    }
    return read_connection(name, ret_choice) ? NULL
                                             : "no cluster has that name, and it is no connection's id (0-12, as "
                                               "`connections` shows it)";
}

static void take(struct process *process, const struct http_request *request, struct http_response *response)
{
    if (!request->wants_text)
        response->content_type = "application/x-ndjson";
    trace_take(&process->trace, request->wants_text, &response->body);
}

void command_trace(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct timeval soon = { .tv_sec = FORGOTTEN_S };
    struct process *process = owner;
    struct trace_choice choice;
    uint64_t session;
    const char *problem = read_words(process, request->body, &session, &choice);
    int r;

    if (!problem && choice.cluster[0] == '\0' && choice.id == 0) { /* no name: the end */
        if (process->trace.session == session) {
            take(process, request, response);
            trace_stop(&process->trace);
        }
        return;
    }
    if (problem) {
        response->status = 400;
        strbuf_printf(&response->body, "%s\n", problem);
        return;
    }
    r = trace_watch(&process->trace, session, &choice);
    if (r < 0) {
        response->status = r == -EBUSY ? 409 : 500;
        strbuf_append(&response->body, r == -EBUSY ? "somebody else is watching; one at a time can\n" : "no memory\n");
        return;
    }
    evtimer_add(&process->trace_forgotten, &soon);
    take(process, request, response);
}
