#include "proxy/worker/listing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proxy/conn/announce.h"
#include "proxy/conn/conn.h"
#include "proxy/conn/secure.h"
#include "proxy/worker/worker.h"

int listing_init(struct listing *listing, unsigned workers)
{
    listing->views = calloc((size_t)workers * LISTING_MOST, sizeof *listing->views);
    return listing->views ? 0 : -ENOMEM;
}

void listing_done(struct listing *listing)
{
    free(listing->views);
}

static void copy_identity(const struct spiffe_id *identity, char *text)
{
    if (identity)
        snprintf(text, CONNECTION_VIEW_IDENTITY, "%.*s", (int)identity->length, identity->text);
}

static void describe(const struct conn *conn, uint64_t now_ms, struct connection_view *ret_view)
{
    *ret_view = (struct connection_view){
        .direction = conn->direction,
        .state = conn_state_name(conn->state),
        .original = conn->original,
        .age_ms = now_ms - MIN(conn->started_ms, now_ms),
        .idle_ms = now_ms - MIN(conn->last_byte_ms, now_ms),
        .bytes_to_upstream = conn->to_upstream.pump.bytes,
        .bytes_to_client = conn->to_client.pump.bytes,
        .attempts = conn->attempt + 1,
        .worker = conn->worker->index,
    };
    snprintf(ret_view->cluster, sizeof ret_view->cluster, "%s", conn->cluster->config->name);
    ret_view->client = announce_client(conn);
    copy_identity(secure_client(conn), ret_view->client_identity);
    copy_identity(secure_endpoint(conn), ret_view->endpoint_identity);
    if (conn->target.endpoint)
        ret_view->endpoint = conn->target.endpoint->address;
}

void listing_fill(struct worker *worker)
{
    struct listing *listing = worker->shared->listing;
    struct connection_view *views = &listing->views[(size_t)worker->index * LISTING_MOST];
    uint64_t now_ms = clock_now_ms();
    size_t count = 0, total = 0;

    for (struct list_node *node = worker->connections.next; node != &worker->connections; node = node->next) {
        if (total++ < LISTING_MOST)
            describe(CONTAINER_OF(node, struct conn, in_worker), now_ms, &views[count++]);
    }
    listing->count[worker->index] = count;
    listing->total[worker->index] = total;
    atomic_fetch_sub_explicit(&listing->awaited, 1, memory_order_release);
}
