/* Who has a place at an HTTP server, and whose place a newcomer gets. */
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "control/http_private.h"

#define TIME_TO_ASK_MS 100

uint64_t http_places_peer(int fd, const struct sockaddr *address)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    uint64_t halves[2];

    switch (address->sa_family) {
    case AF_INET:
        return ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
    case AF_INET6:
        memcpy(halves, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof halves);
        return halves[0] ^ halves[1];
    default:
        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.uid : 0;
    }
}

static unsigned count_of_peer(const struct http_server *server, uint64_t peer)
{
    unsigned count = 0;

    for (struct list_node *node = server->clients.next; node != &server->clients; node = node->next)
        count += CONTAINER_OF(node, struct http_client, in_server)->peer == peer;
    return count;
}

/*
 * Whose place another client gets: of whoever has the most clients the one that has waited longest. So nobody can keep
 * others out, and a client that was accepted just now has the time to ask. NULL: none has had it.
 */
static struct http_client *find_victim(const struct http_server *server)
{
    uint64_t now_ms = clock_now_ms();
    struct http_client *victim = NULL;
    unsigned most = 0;

    for (struct list_node *node = server->clients.next; node != &server->clients; node = node->next) {
        struct http_client *client = CONTAINER_OF(node, struct http_client, in_server);
        unsigned count = now_ms - client->since_ms >= TIME_TO_ASK_MS ? count_of_peer(server, client->peer) : 0;

        if (count > most) {
            most = count;
            victim = client;
        }
    }
    return victim;
}

void http_places_make_room(struct http_server *server)
{
    const struct timeval soon = { .tv_usec = TIME_TO_ASK_MS * 1000 / 4 };

    while (server->client_count >= HTTP_MOST_CLIENTS) {
        struct http_client *victim = find_victim(server);

        if (!victim)
            break;
        http_client_free(victim);
    }
    if (server->client_count < HTTP_MOST_CLIENTS || server->is_paused)
        return;
    server->is_paused = true;
    for (unsigned i = 0; i < server->listener_count; i++)
        evconnlistener_disable(server->listeners[i]);
    event_add(server->resume, &soon);
}

void http_places_resume(struct http_server *server)
{
    server->is_paused = false;
    event_del(server->resume);
    for (unsigned i = 0; i < server->listener_count; i++)
        evconnlistener_enable(server->listeners[i]);
}
