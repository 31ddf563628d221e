#include "proxy/worker/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mailbox)
{
    mailbox->first = 0;
    mailbox->count = 0;
    mailbox->commands = 0;
    list_init(&mailbox->grants);
    mailbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->event_fd < 0)
        return -errno;
    pthread_mutex_init(&mailbox->mutex, NULL);
    return 0;
}

void mailbox_done(struct mailbox *mailbox)
{
    close(mailbox->event_fd);
    pthread_mutex_destroy(&mailbox->mutex);
}

static void wake(struct mailbox *mailbox)
{
    uint64_t one = 1;

    (void)!write(mailbox->event_fd, &one, sizeof one); /* full means that the loop is awake already */
}

void mailbox_command(struct mailbox *mailbox, enum mail_command command)
{
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->commands |= command;
    pthread_mutex_unlock(&mailbox->mutex);
    wake(mailbox);
}

void mailbox_grant(struct mailbox *mailbox, struct list_node *node)
{
    pthread_mutex_lock(&mailbox->mutex);
    list_append(&mailbox->grants, node);
    pthread_mutex_unlock(&mailbox->mutex);
    wake(mailbox);
}

void mailbox_withdraw(struct mailbox *mailbox, struct list_node *node)
{
    pthread_mutex_lock(&mailbox->mutex);
    list_remove(node);
    pthread_mutex_unlock(&mailbox->mutex);
}

struct list_node *mailbox_take_grant(struct mailbox *mailbox)
{
    struct list_node *node = NULL;

    pthread_mutex_lock(&mailbox->mutex);
    if (!list_is_empty(&mailbox->grants)) {
        node = mailbox->grants.next;
        list_remove(node);
    }
    pthread_mutex_unlock(&mailbox->mutex);
    return node;
}

unsigned mailbox_take_commands(struct mailbox *mailbox)
{
    unsigned commands;

    pthread_mutex_lock(&mailbox->mutex);
    commands = mailbox->commands;
    mailbox->commands = 0;
    pthread_mutex_unlock(&mailbox->mutex);
    return commands;
}

int mailbox_send(struct mailbox *mailbox, struct mail mail)
{
    int r = -EAGAIN;

    pthread_mutex_lock(&mailbox->mutex);
    if (mailbox->count < MAILBOX_SIZE) {
        mailbox->ring[(mailbox->first + mailbox->count) % MAILBOX_SIZE] = mail;
        mailbox->count++;
        r = 0;
    }
    pthread_mutex_unlock(&mailbox->mutex);
    if (r == 0)
        wake(mailbox);
    return r;
}

size_t mailbox_take(struct mailbox *mailbox, struct mail *mails, size_t most)
{
    size_t taken = 0;

    pthread_mutex_lock(&mailbox->mutex);
    while (taken < most && mailbox->count > 0) {
        mails[taken++] = mailbox->ring[mailbox->first];
        mailbox->first = (mailbox->first + 1) % MAILBOX_SIZE;
        mailbox->count--;
    }
    pthread_mutex_unlock(&mailbox->mutex);
    return taken;
}
