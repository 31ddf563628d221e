#include "proxy/upstream/endpoint_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

/* The longest sequence of one level; greater sums of weights are scaled down to it. */
#define MOST_SEQUENCE 16384

static int compare_slots(const void *left, const void *right)
{
    const struct endpoint_slot *a = left, *b = right;

    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    return (int)b->is_near - (int)a->is_near;
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* How often a slot comes in one round. */
static uint64_t share_of(const struct endpoint_slot *slot, uint64_t divisor, uint64_t sum)
{
    uint64_t share = slot->weight / divisor;

    return sum <= MOST_SEQUENCE ? share : MAX(share * (MOST_SEQUENCE / 2) / sum, (uint64_t)1);
}

/* Returns the length of the level's sequence. With `sequence` NULL it is only reckoned. 0: no memory. */
static size_t make_sequence(const struct endpoint_slot *slots, size_t count, uint16_t *sequence)
{
    uint64_t divisor = 0, sum = 0;
    size_t length = 0;
    int64_t *credits, *shares;

    for (size_t i = 0; i < count; i++)
        divisor = greatest_divisor(slots[i].weight, divisor);
    for (size_t i = 0; i < count; i++)
        sum += slots[i].weight / divisor;
    for (size_t i = 0; i < count; i++)
        length += share_of(&slots[i], divisor, sum);
    if (!sequence)
        return length;
    credits = calloc(2 * count, sizeof *credits);
    if (!credits)
        return 0;
    shares = credits + count;
    for (size_t i = 0; i < count; i++)
        shares[i] = (int64_t)share_of(&slots[i], divisor, sum);
    /* As nginx spreads them: each turn every slot earns its share, and the richest pays for the turn. */
    for (size_t turn = 0; turn < length; turn++) {
        size_t richest = 0;

        for (size_t i = 0; i < count; i++) {
            credits[i] += shares[i];
            if (credits[i] > credits[richest])
                richest = i;
        }
        credits[richest] -= (int64_t)length;
        sequence[turn] = (uint16_t)richest;
    }
    free(credits);
    return length;
}

static size_t end_of_level(const struct endpoint_set *set, size_t first)
{
    size_t end = first;

    while (end < set->count && compare_slots(&set->slots[first], &set->slots[end]) == 0)
        end++;
    return end;
}

static int make_levels(struct endpoint_set *set)
{
    size_t length = 0, at = 0, end;

    for (size_t first = 0; first < set->count; first = end) {
        end = end_of_level(set, first);
        length += make_sequence(&set->slots[first], end - first, NULL);
        set->level_count++;
    }
    set->levels = calloc(set->level_count + 1, sizeof *set->levels);
    set->sequences = calloc(length + 1, sizeof *set->sequences);
    if (!set->levels || !set->sequences)
        return -ENOMEM;
    set->level_count = 0;
    for (size_t first = 0; first < set->count; first = end) {
        struct endpoint_level *level = &set->levels[set->level_count++];

        end = end_of_level(set, first);
        level->slots = &set->slots[first];
        level->count = end - first;
        level->priority = set->slots[first].priority;
        level->sequence = set->sequences + at;
        level->sequence_length = make_sequence(level->slots, level->count, set->sequences + at);
        if (level->sequence_length == 0)
            return -ENOMEM;
        at += level->sequence_length;
    }
    return 0;
}

/* Insertion sort: stable, and sets are small or sorted already. */
static void sort_slots(struct endpoint_slot *slots, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct endpoint_slot moved = slots[i];
        size_t at = i;

        for (; at > 0 && compare_slots(&moved, &slots[at - 1]) < 0; at--)
            slots[at] = slots[at - 1];
        slots[at] = moved;
    }
}

int endpoint_set_new(const struct endpoint_slot *slots, size_t count, struct endpoint_set **ret_set)
{
    struct endpoint_set *set;
    int r;

    if (count > ENDPOINT_SET_MOST)
        return -E2BIG;
    set = calloc(1, sizeof *set);
    if (!set)
        return -ENOMEM;
    atomic_init(&set->references, 1);
    set->slots = calloc(count + 1, sizeof *set->slots);
    if (!set->slots) {
        free(set);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        set->slots[i] = slots[i];
        endpoint_ref(slots[i].endpoint);
    }
    set->count = count;
    sort_slots(set->slots, count);
    r = make_levels(set);
    if (r < 0) {
        endpoint_set_unref(set);
        return r;
    }
    *ret_set = set;
    return 0;
}

void endpoint_set_ref(struct endpoint_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
}

void endpoint_set_unref(struct endpoint_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        endpoint_unref(set->slots[i].endpoint);
    free(set->slots);
    free(set->levels);
    free(set->sequences);
    free(set);
}

struct endpoint *endpoint_set_find(const struct endpoint_set *set, const struct sockaddr *address)
{
    for (size_t i = 0; i < set->count; i++) {
        if (sockaddr_equal(&set->slots[i].endpoint->address.any, address))
            return set->slots[i].endpoint;
    }
    return NULL;
}
