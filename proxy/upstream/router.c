#include "proxy/upstream/router.h"

void router_init(struct router *router, struct route_table *table)
{
    pthread_mutex_init(&router->mutex, NULL);
    router->table = table;
    atomic_init(&router->generation, 1);
}

void router_done(struct router *router)
{
    route_table_unref(router->table);
    pthread_mutex_destroy(&router->mutex);
}

void router_publish(struct router *router, struct route_table *table)
{
    struct route_table *before;

    pthread_mutex_lock(&router->mutex);
    before = router->table;
    router->table = table;
    atomic_fetch_add_explicit(&router->generation, 1, memory_order_release);
    pthread_mutex_unlock(&router->mutex);
    route_table_unref(before);
}

struct route_table *router_get(struct router *router)
{
    struct route_table *table;

    pthread_mutex_lock(&router->mutex);
    table = router->table;
    route_table_ref(table);
    pthread_mutex_unlock(&router->mutex);
    return table;
}

const struct route_table *router_view_get(struct router_view *view, struct router *router)
{
    unsigned generation = atomic_load_explicit(&router->generation, memory_order_acquire);

    if (view->router == router && view->generation == generation)
        return view->table;
    route_table_unref(view->table);
    /* Should the table change in between, the number is the older one and the next call looks again. */
    view->router = router;
    view->generation = generation;
    view->table = router_get(router);
    return view->table;
}

void router_view_done(struct router_view *view)
{
    route_table_unref(view->table);
    *view = (struct router_view){ 0 };
}
