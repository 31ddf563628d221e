/*
 * The own credentials: loaded when the configuration's `identity` is another one, and again when their files change.
 * What cannot be used changes nothing; it is told of in the log, in the status and in the metrics.
 *
 * Thread: the main thread's.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "proxy/config/model.h"
#include "proxy/observe/identity_status.h"

#define IDENTITY_MOST_FILES 80

struct credentials;
struct file_watch;
struct process;

struct identity {
    const struct identity_config *config;           /* of the configuration in force; NULL: before there is one */
    struct file_identity seen[IDENTITY_MOST_FILES]; /* before they were loaded */
    struct file_watch *watches[IDENTITY_MOST_FILES];
    size_t watch_count;
    struct event changed; /* several files have changed together, soon */
    struct event tick;    /* looks at what runs out */
    uint64_t loaded, refused;
    double loaded_s;
    double warned_s; /* of what runs out */
    char *problem;
};

void identity_init(struct process *process);
void identity_done(struct process *process);

/*
 * Before a configuration comes into force: loads its credentials if they are from elsewhere than those there are.
 * ret_credentials  may be NULL; to be given to identity_put_in_force(), or released
 * Returns 0, or a negative errno: the first configuration never fails for this; a later one does, and it was logged.
 */
int identity_prepare(struct process *process, const struct config *config, struct credentials **ret_credentials);

/* It is in force now. Cannot fail. */
void identity_put_in_force(struct process *process, const struct config *config, struct credentials *credentials);

/* Somebody asks for a reload: looks at the files now, whatever the watches have seen. */
void identity_look(struct process *process);

void identity_describe(const struct process *process, struct identity_status *ret_status);
