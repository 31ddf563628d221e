#include "proxy/policy/tally.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"

#define BUCKETS 16384 /* so much that the C library maps it, and the kernel gives pages only to what is used */
#define STRIPES 64

struct key {
    const void *scope;
    uint64_t source[2]; /* as IPv6 has it */
};

struct entry {
    struct entry *next;
    struct key key;
    uint64_t count; /* never 0 */
};

struct tally {
    uint64_t seed[2]; /* nobody can choose addresses that share a bucket */
    pthread_mutex_t stripes[STRIPES];
    struct entry *buckets[BUCKETS];
};

int tally_new(struct tally **ret_tally)
{
    struct tally *tally = calloc(1, sizeof *tally);
    struct random random;

    if (!tally)
        return -ENOMEM;
    random_init_from_system(&random);
    tally->seed[0] = random_next(&random);
    tally->seed[1] = random_next(&random);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&tally->stripes[i], NULL);
    *ret_tally = tally;
    return 0;
}

void tally_free(struct tally *tally)
{
    if (!tally)
        return;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&tally->stripes[i]);
    free(tally);
}

/* RFC 4291, 2.5.5.2: IPv4-mapped addresses. The unspecified address, which no client has, stands for all. */
static struct key key_of(const void *scope, const union inet_address *source)
{
    struct key key = { .scope = scope };
    uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff };

    if (!source)
        return key;
    if (source->family == AF_INET)
        memcpy(bytes + 12, &source->in.sin_addr, 4);
    else
        memcpy(bytes, &source->in6.sin6_addr, 16);
    memcpy(key.source, bytes, sizeof bytes);
    return key;
}

static size_t bucket_of(const struct tally *tally, const struct key *key)
{
    uint64_t hash = hash_mix(key->source[0] ^ tally->seed[0]);

    hash = hash_mix(hash ^ key->source[1] ^ tally->seed[1]);
    return hash_mix(hash ^ (uintptr_t)key->scope) % BUCKETS;
}

/* The place where the key's entry hangs, or would: then it holds NULL. */
static struct entry **find(struct tally *tally, size_t bucket, const struct key *key)
{
    struct entry **link = &tally->buckets[bucket];

    while (*link &&
           ((*link)->key.scope != key->scope || memcmp((*link)->key.source, key->source, sizeof key->source) != 0))
        link = &(*link)->next;
    return link;
}

static int take(struct entry **link, const struct key *key, uint64_t most)
{
    struct entry *entry = *link;

    if ((entry ? entry->count : 0) >= most)
        return -EDQUOT;
    if (!entry) {
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return -ENOMEM;
        entry->key = *key;
        *link = entry;
    }
    entry->count++;
    return 0;
}

int tally_take(struct tally *tally, const void *scope, const union inet_address *source, uint64_t most)
{
    struct key key = key_of(scope, source);
    size_t bucket = bucket_of(tally, &key);
    int r;

    pthread_mutex_lock(&tally->stripes[bucket % STRIPES]);
    r = take(find(tally, bucket, &key), &key, most);
    pthread_mutex_unlock(&tally->stripes[bucket % STRIPES]);
    return r;
}

void tally_give(struct tally *tally, const void *scope, const union inet_address *source)
{
    struct key key = key_of(scope, source);
    size_t bucket = bucket_of(tally, &key);
    struct entry **link, *entry;

    pthread_mutex_lock(&tally->stripes[bucket % STRIPES]);
    link = find(tally, bucket, &key);
    entry = *link;
    entry->count--;
    if (entry->count == 0) {
        *link = entry->next;
        free(entry);
    }
    pthread_mutex_unlock(&tally->stripes[bucket % STRIPES]);
}
