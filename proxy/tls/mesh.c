#include "proxy/tls/mesh.h"

#include <errno.h>

#include "proxy/net/transport.h"
#include "proxy/tls/carrier.h"

enum mesh_status mesh_status_parse(uint8_t byte)
{
    return byte <= MESH_STATUS_RESET ? (enum mesh_status)byte : MESH_STATUS_FAILED;
}

int mesh_status_error(enum mesh_status status)
{
    switch (status) {
    case MESH_STATUS_CONNECTED:
        return 0;
    case MESH_STATUS_REFUSED:
    case MESH_STATUS_OVERLOADED: /* another endpoint may have room */
        return -ECONNREFUSED;
    case MESH_STATUS_TIMEOUT:
        return -ETIMEDOUT;
    case MESH_STATUS_UNREACHABLE:
        return -EHOSTUNREACH;
    case MESH_STATUS_RESET:
        return -ECONNRESET;
    case MESH_STATUS_DENIED:
        return -EKEYREJECTED;
    case MESH_STATUS_FAILED:
        return -EREMOTEIO;
    }
    return -EREMOTEIO;
}

static int await_status(struct transport *transport)
{
    uint8_t byte;
    ssize_t n = transport->ops->read(transport, &byte, 1);

    if (n == 1)
        return mesh_status_error(mesh_status_parse(byte));
    if (n == -EAGAIN)
        return transport_set_interest(transport, TRANSPORT_READ) < 0 ? -ENOMEM : -EAGAIN;
    carrier_fail(transport->carrier, TLS_PROBLEM_CUT, "it has ended before its status");
    return -EPROTO;
}

int mesh_dial(struct transport *transport, const struct name_list *expected)
{
    if (!carrier_peer(transport->carrier)) {
        int r = transport_tls_handshake(transport, expected);

        if (r < 0)
            return r;
    }
    if (transport->owed_bytes > 0) {
        int r = transport->ops->flush(transport);

        if (r == -EAGAIN)
            return transport_set_interest(transport, TRANSPORT_READ_WRITE) < 0 ? -ENOMEM : -EAGAIN;
        if (r < 0) {
            carrier_fail(transport->carrier, TLS_PROBLEM_CUT, "it has reset the connection");
            return -EPROTO;
        }
    }
    return await_status(transport);
}

bool mesh_tell(struct transport *transport, enum mesh_status status)
{
    uint8_t byte = (uint8_t)status;

    if (!transport->carrier || !carrier_owes_status(transport->carrier))
        return false;
    transport->ops->write(transport, &byte, sizeof byte, false);
    return true;
}
