#include "proxy/net/transport.h"

#include <errno.h>
#include <event2/event.h>

static const short flags_of[] = {
    [TRANSPORT_NOTHING] = 0,
    [TRANSPORT_READ] = EV_READ | EV_CLOSED | EV_PERSIST,
    [TRANSPORT_WRITE] = EV_WRITE | EV_PERSIST,
    [TRANSPORT_READ_WRITE] = EV_READ | EV_CLOSED | EV_WRITE | EV_PERSIST,
    [TRANSPORT_ARRIVALS] = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST,
    [TRANSPORT_WATCH] = EV_WRITE | EV_ET | EV_PERSIST, /* epoll reports a cut whatever was asked for */
};

/* libevent runs it again before it looks at sockets; what is inside is little, so nobody starves. */
static void announce_more(struct transport *transport)
{
    if (transport->has_more && (flags_of[transport->interest] & EV_READ))
        event_active(&transport->event, EV_READ, 0);
}

int transport_set_interest(struct transport *transport, enum transport_interest interest)
{
    struct event *event = &transport->event;

    if (interest == transport->interest) {
        announce_more(transport);
        return 0;
    }
    if (transport->interest != TRANSPORT_NOTHING)
        event_del(event);
    transport->interest = TRANSPORT_NOTHING;
    if (interest == TRANSPORT_NOTHING)
        return 0;
    event_assign(event, event_get_base(event), transport->fd, flags_of[interest], event_get_callback(event),
                 event_get_callback_arg(event));
    if (event_add(event, NULL) < 0)
        return -ENOMEM;
    transport->interest = interest;
    announce_more(transport);
    return 0;
}

void transport_set_owner(struct transport *transport, event_callback_fn callback, void *owner)
{
    transport_set_interest(transport, TRANSPORT_NOTHING);
    event_assign(&transport->event, event_get_base(&transport->event), transport->fd, 0, callback, owner);
}

void transport_move(struct transport *to, struct transport *from, event_callback_fn callback, void *owner)
{
    transport_set_interest(from, TRANSPORT_NOTHING);
    *to = *from;
    event_assign(&to->event, event_get_base(&from->event), to->fd, 0, callback, owner);
    from->ops = NULL;
    from->carrier = NULL;
    from->fd = -1;
}

void transport_close(struct transport *transport, enum transport_closing how)
{
    if (!transport_is_open(transport))
        return;
    transport_set_interest(transport, TRANSPORT_NOTHING);
    transport->ops->close(transport, how);
    transport->ops = NULL;
    transport->fd = -1;
    transport->owed_bytes = 0;
    transport->has_more = false;
}
