/*
 * The credentials in force. The main thread changes them; anybody may take a reference. A lock, since it is taken when
 * they change and at no other time.
 */
#pragma once

#include <pthread.h>

struct credentials;

struct credential_slot {
    pthread_mutex_t mutex;
    struct credentials *current; /* NULL: there are none yet, or no `identity` */
};

void credential_slot_init(struct credential_slot *slot);
void credential_slot_done(struct credential_slot *slot);

/* Takes over `credentials`, or NULL. Main thread. */
void credential_slot_set(struct credential_slot *slot, struct credentials *credentials);

/* A reference of the caller's, or NULL. */
struct credentials *credential_slot_get(struct credential_slot *slot);
