/* Sockets and commands for a worker from other threads: a bounded ring under a mutex, and an eventfd that wakes the
 * loop. */
#pragma once

#include <pthread.h>
#include <stddef.h>

#include "base/list.h"
#include "base/sockaddr.h"

struct listener;
struct snapshot;

#define MAILBOX_SIZE 1024

/* Commands are bits of their own, so that they always arrive, whatever the ring holds. */
enum mail_command {
    MAIL_STOP_INBOUND = 1 << 0, /* see worker_stop_inbound() */
    MAIL_EXIT = 1 << 1,
    MAIL_CLOSE_LOST = 1 << 2, /* see worker_close_lost() */
    MAIL_ADOPT = 1 << 3,      /* see worker_adopt() */
    MAIL_SPREAD = 1 << 4,     /* see worker_spread_ends() */
    MAIL_STOP_SPREAD = 1 << 7,
    MAIL_LIST = 1 << 5,        /* see worker_list() */
    MAIL_CREDENTIALS = 1 << 8, /* see worker_take_credentials() */
    MAIL_LET_GO = 1 << 6,      /* see worker_let_go_of_listeners() */
};

/* An accepted socket to take over. */
struct mail {
    int fd;
    union inet_address client;
    const struct listener *listener; /* that it came in on */
    struct snapshot *snapshot;       /* the listener's; the mail is one of its users */
};

struct mailbox {
    pthread_mutex_t mutex;
    int event_fd;
    unsigned commands;       /* enum mail_command */
    struct list_node grants; /* of waiters whose turn has come */
    size_t first, count;
    struct mail ring[MAILBOX_SIZE];
};

/* Returns 0 or a negative errno. */
int mailbox_init(struct mailbox *mailbox);
void mailbox_done(struct mailbox *mailbox);

/* Any thread. Returns 0, or -EAGAIN when the box is full; then the message remains the caller's. */
int mailbox_send(struct mailbox *mailbox, struct mail mail);

/* Any thread. Cannot fail. */
void mailbox_command(struct mailbox *mailbox, enum mail_command command);

/* Any thread. A waiter's turn has come; the node stays its waiter's. Cannot fail. */
void mailbox_grant(struct mailbox *mailbox, struct list_node *node);

/* The owner. The waiter goes away: its grant, if it is still in the box, goes too. */
void mailbox_withdraw(struct mailbox *mailbox, struct list_node *node);

/* The owner. The next grant, or NULL. */
struct list_node *mailbox_take_grant(struct mailbox *mailbox);

/* The owner. Takes the commands given since the last call: bits of enum mail_command. */
unsigned mailbox_take_commands(struct mailbox *mailbox);

/* The owner. Takes up to `most` messages; returns how many. */
size_t mailbox_take(struct mailbox *mailbox, struct mail *mails, size_t most);
