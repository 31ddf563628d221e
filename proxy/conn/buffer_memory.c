#include "proxy/conn/buffer_memory.h"

#include "base/macros.h"

/* A worker takes more than it needs, up to this, and keeps up to twice as much. */
#define STEP (256 * 1024)

void buffer_memory_init(struct buffer_memory *memory, size_t total_bytes)
{
    atomic_init(&memory->free_bytes, total_bytes);
    memory->total_bytes = total_bytes;
}

/* Takes between nothing and `wanted` from the process. */
static size_t take_from_process(struct buffer_memory *memory, size_t wanted)
{
    size_t available = atomic_load_explicit(&memory->free_bytes, memory_order_relaxed), taken;

    do {
        taken = MIN(available, wanted);
        if (taken == 0)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&memory->free_bytes, &available, available - taken,
                                                    memory_order_relaxed, memory_order_relaxed));
    return taken;
}

size_t buffer_budget_take(struct buffer_budget *budget, size_t wanted)
{
    size_t taken;

    if (budget->at_hand_bytes < wanted)
        budget->at_hand_bytes += take_from_process(budget->memory, MAX(wanted - budget->at_hand_bytes, (size_t)STEP));
    taken = MIN(budget->at_hand_bytes, wanted);
    budget->at_hand_bytes -= taken;
    return taken;
}

void buffer_budget_give(struct buffer_budget *budget, size_t bytes)
{
    budget->at_hand_bytes += bytes;
    if (budget->at_hand_bytes > (size_t)2 * STEP) {
        atomic_fetch_add_explicit(&budget->memory->free_bytes, budget->at_hand_bytes - STEP, memory_order_relaxed);
        budget->at_hand_bytes = STEP;
    }
}

void buffer_budget_done(struct buffer_budget *budget)
{
    if (!budget->memory)
        return;
    atomic_fetch_add_explicit(&budget->memory->free_bytes, budget->at_hand_bytes, memory_order_relaxed);
    budget->at_hand_bytes = 0;
}

size_t buffer_budget_free(const struct buffer_budget *budget)
{
    return budget->at_hand_bytes + atomic_load_explicit(&budget->memory->free_bytes, memory_order_relaxed);
}
