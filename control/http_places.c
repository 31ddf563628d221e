/* Who has a place at an HTTP server, and whose place a newcomer gets. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "control/http_private.h"

#define TIME_TO_ASK_MS    100
#define TIME_TO_FINISH_MS 2000 /* a request that has begun, or an answer that comes later */

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

/* How well it can be done without; 0: not at all. One that waits for an answer comes last. */
static unsigned dispensability(const struct http_client *client, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - client->since_ms;

    if (client->is_idle)
        return 4;
    if (client->pending)
        return age_ms >= TIME_TO_FINISH_MS ? 1 : 0;
    if (evbuffer_get_length(bufferevent_get_input(client->stream)) == 0)
        return age_ms >= TIME_TO_ASK_MS ? 3 : 0;
    return age_ms >= TIME_TO_FINISH_MS ? 2 : 0;
}

static uint64_t peer_with_most(const struct http_server *server)
{
    uint64_t peer = 0;
    unsigned most = 0;

    for (struct list_node *node = server->clients.next; node != &server->clients; node = node->next) {
        uint64_t other = CONTAINER_OF(node, struct http_client, in_server)->peer;
        unsigned count = count_of_peer(server, other);

        if (count > most) {
            most = count;
            peer = other;
        }
    }
    return peer;
}

/*
 * Whose place another client gets: of whoever has the most clients, however young they are, one that it can do without.
 * So nobody can keep others out, nobody loses a place to who has more, and a client that was accepted just now has the
 * time to ask. NULL: there is none so far.
 */
static struct http_client *find_victim(const struct http_server *server)
{
    uint64_t now_ms = clock_now_ms(), peer = peer_with_most(server);
    struct http_client *victim = NULL;
    unsigned best = 0;

    for (struct list_node *node = server->clients.next; node != &server->clients; node = node->next) {
        struct http_client *client = CONTAINER_OF(node, struct http_client, in_server);
        unsigned value = client->peer == peer ? dispensability(client, now_ms) : 0;

        if (value > best) {
            best = value;
            victim = client;
        }
    }
    return victim;
}

void http_places_make_room(struct http_server *server)
{
    const struct timeval soon = { .tv_usec = TIME_TO_ASK_MS * 1000 / 4 };

    while (server->client_count >= server->settings.most_clients) {
        struct http_client *victim = find_victim(server);

        if (!victim)
            break;
        http_client_free(victim);
    }
    if (server->client_count < server->settings.most_clients || server->is_paused)
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
