#include "proxy/tls/credential_slot.h"

#include <stddef.h>

#include "proxy/tls/credentials.h"

void credential_slot_init(struct credential_slot *slot)
{
    pthread_mutex_init(&slot->mutex, NULL);
    slot->current = NULL;
}

void credential_slot_done(struct credential_slot *slot)
{
    credentials_unref(slot->current);
    pthread_mutex_destroy(&slot->mutex);
}

void credential_slot_set(struct credential_slot *slot, struct credentials *credentials)
{
    struct credentials *before;

    pthread_mutex_lock(&slot->mutex);
    before = slot->current;
    slot->current = credentials;
    pthread_mutex_unlock(&slot->mutex);
    credentials_unref(before);
}

struct credentials *credential_slot_get(struct credential_slot *slot)
{
    struct credentials *current;

    pthread_mutex_lock(&slot->mutex);
    current = slot->current ? credentials_ref(slot->current) : NULL;
    pthread_mutex_unlock(&slot->mutex);
    return current;
}
