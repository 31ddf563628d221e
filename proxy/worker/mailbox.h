/* Messages to a worker from other threads: a bounded ring under a mutex, and an eventfd that wakes the loop. */
#pragma once

#include <pthread.h>
#include <stddef.h>

#define MAILBOX_SIZE 1024

enum mail_kind {
    MAIL_ADOPT,        /* take over an accepted socket */
    MAIL_STOP_INBOUND, /* see worker_stop_inbound() */
    MAIL_EXIT,
};

struct mail {
    enum mail_kind kind;
    int fd;          /* MAIL_ADOPT */
    size_t listener; /* MAIL_ADOPT: index of the listener it came in on, the same in every worker */
};

struct mailbox {
    pthread_mutex_t mutex;
    int event_fd;
    size_t first, count;
    struct mail ring[MAILBOX_SIZE];
};

/* Returns 0 or a negative errno. */
int mailbox_init(struct mailbox *mailbox);
void mailbox_done(struct mailbox *mailbox);

/* Any thread. Returns 0, or -EAGAIN when the box is full; then the message remains the caller's. */
int mailbox_send(struct mailbox *mailbox, struct mail mail);

/* The owner. Takes up to `most` messages; returns how many. */
size_t mailbox_take(struct mailbox *mailbox, struct mail *mails, size_t most);
