/*
 * Notices that a file has changed: written, replaced by a rename, or reached through a symbolic link that points
 * elsewhere now (as Kubernetes changes a ConfigMap or a Secret). Through inotify on the directories, since what is
 * replaced is another inode; and by a look every few seconds, for what inotify does not see: links further up, file
 * systems over a network, no watches left.
 *
 * Thread: the one that runs the event base.
 */
#pragma once

#include <event2/event.h>

#include "base/file.h"

#define FILE_WATCH_QUIET_MS 100  /* a change is told once nothing has changed for this long */
#define FILE_WATCH_MOST_MS  1000 /* but not later than this, whatever goes on in its directory */
#define FILE_WATCH_LOOK_MS  5000

struct file_watch;

/*
 * `path` is copied. `on_change` is told when the file is another one than `seen`, or than what file_watch_seen() said.
 * NULL without memory, which the other functions take; logged.
 */
struct file_watch *file_watch_new(struct event_base *base, const char *path, const struct file_identity *seen,
                                  void (*on_change)(void *owner), void *owner);
void file_watch_free(struct file_watch *watch);

/* Looks now. */
void file_watch_look(struct file_watch *watch);

/* The caller has looked at the file itself: this is what it has seen. */
void file_watch_seen(struct file_watch *watch, const struct file_identity *seen);
