/* Messages arrive in order, whoever sends them; a full box refuses and loses nothing. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "proxy/worker/mailbox.h"

static void test_mailbox_send_to_a_full_box_is_refused(void **state)
{
    static struct mailbox mailbox;
    struct mail mails[MAILBOX_SIZE + 1];

    (void)state;
    assert_int_equal(mailbox_init(&mailbox), 0);
    for (int i = 0; i < MAILBOX_SIZE; i++)
        assert_int_equal(mailbox_send(&mailbox, (struct mail){ .fd = i }), 0);
    assert_int_equal(mailbox_send(&mailbox, (struct mail){ .fd = -1 }), -EAGAIN);
    assert_int_equal(mailbox_take(&mailbox, mails, 10), 10);
    assert_int_equal(mailbox_send(&mailbox, (struct mail){ .fd = MAILBOX_SIZE }), 0);
    assert_int_equal(mailbox_take(&mailbox, mails, MAILBOX_SIZE + 1), MAILBOX_SIZE - 9);
    for (int i = 0; i < MAILBOX_SIZE - 9; i++)
        assert_int_equal(mails[i].fd, i + 10);
    mailbox_command(&mailbox, MAIL_EXIT); /* also when the ring is full */
    assert_int_equal(mailbox_take_commands(&mailbox), MAIL_EXIT);
    assert_int_equal(mailbox_take_commands(&mailbox), 0);
    mailbox_done(&mailbox);
}

#define SENDERS 4
#define EACH    20000

static struct mailbox shared;

static void *send_many(void *argument)
{
    for (size_t i = 0; i < EACH; i++) {
        struct mail mail = { .fd = *(int *)argument, .snapshot = (struct snapshot *)i };

        while (mailbox_send(&shared, mail) == -EAGAIN)
            sched_yield();
    }
    return NULL;
}

static void test_mailbox_senders_in_threads_keep_their_order(void **state)
{
    pthread_t threads[SENDERS];
    int numbers[SENDERS];
    size_t next[SENDERS] = { 0 }, total = 0;

    (void)state;
    assert_int_equal(mailbox_init(&shared), 0);
    for (int i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &numbers[i]), 0);
    }
    while (total < (size_t)SENDERS * EACH) {
        struct mail mails[64];
        size_t count = mailbox_take(&shared, mails, 64);

        for (size_t i = 0; i < count; i++)
            assert_int_equal((size_t)mails[i].snapshot, next[mails[i].fd]++);
        total += count;
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    mailbox_done(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailbox_send_to_a_full_box_is_refused),
        cmocka_unit_test(test_mailbox_senders_in_threads_keep_their_order),
    };

    return RUN_TESTS(tests);
}
