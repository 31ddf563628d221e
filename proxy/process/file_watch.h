/*
 * Notices that a file has changed: written, replaced by a rename, or reached through a symbolic link that points
 * elsewhere now (as Kubernetes changes a ConfigMap or a Secret). Through inotify on the directories, since what is
 * replaced is another inode.
 *
 * Thread: the one that runs the event base.
 */
#pragma once

#include <event2/event.h>

#define FILE_WATCH_QUIET_MS 100 /* a change is told once nothing has changed for this long */

struct file_watch;

/*
 * `path` is copied. `on_change` is told of changes, not of what was there before. Without inotify, or without memory,
 * there is none, which is logged: NULL, which the other function takes.
 */
struct file_watch *file_watch_new(struct event_base *base, const char *path, void (*on_change)(void *owner),
                                  void *owner);
void file_watch_free(struct file_watch *watch);
