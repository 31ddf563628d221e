#include "proxy/worker/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/account.h"
#include "proxy/conn/conn.h"
#include "proxy/worker/worker.h"

int listing_init(struct listing *listing, unsigned workers)
{
    listing->views = calloc((size_t)workers * LISTING_MOST, sizeof *listing->views);
    listing->endings = calloc(workers, sizeof *listing->endings);
    return listing->views && listing->endings ? 0 : -ENOMEM;
}

void listing_done(struct listing *listing)
{
    free(listing->views);
    free(listing->endings);
}

void listing_fill(struct worker *worker)
{
    struct listing *listing = worker->shared->listing;
    struct connection_view *views = &listing->views[(size_t)worker->index * LISTING_MOST];
    uint64_t now_ms = clock_now_ms();
    size_t count = 0, total = 0;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = node->next) {
        if (total++ < LISTING_MOST)
            account_describe(CONTAINER_OF(node, struct conn, in_worker), now_ms, &views[count++]);
    }
    listing->count[worker->index] = count;
    listing->total[worker->index] = total;
    listing->endings[worker->index].count = worker->endings.count;
    memcpy(listing->endings[worker->index].views, worker->endings.views,
           MIN(worker->endings.count, (unsigned long)ENDINGS_MOST) * sizeof *worker->endings.views);
    atomic_fetch_sub_explicit(&listing->awaited, 1, memory_order_release);
}
