/*
 * Loads the configuration again: when its file has changed, on SIGHUP, when a command asks. All or nothing; a file that
 * is wrong changes nothing and is told of in the log, in the status and in the metrics.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/file.h"
#include "base/strbuf.h"
#include "proxy/config/config.h"
#include "proxy/observe/status.h"

struct file_watch;
struct process;

struct reload {
    struct config_files files;
    struct file_watch *watch;
    struct event old;   /* while older configurations have connections */
    struct event again; /* while the file is not in force although nothing is wrong with it */
    unsigned again_ms;
    struct file_identity seen; /* as it was when it was last loaded */
    char *problem;             /* why the last one was refused; NULL: it was not */
    struct status_configuration status;
};

/* `seen`: the file as it was before it was loaded the first time. */
void reload_init(struct process *process, const struct config_files *files, const struct file_identity *seen);

/* An older configuration may have connections: looks now and then, to free it. */
void reload_look_at_old(struct process *process);

/* From now on changes of the file are noticed. */
void reload_begin(struct process *process);
void reload_done(struct process *process);

/*
 * Reloads. When it returns 0 every worker has changed over, unless one is stuck. Appends to `text` what came of it, for
 * people; the same is logged.
 * Returns 0, -EALREADY when the file says what is in force, -EINVAL when it is wrong, -EBUSY when a worker has not
 * changed over to the last one yet, or another negative errno.
 */
int reload_run(struct process *process, struct strbuf *text);
