/*
 * Both ends of the mesh protocol: any bytes in place of a handshake, behind one that is done, and inside TLS as what
 * the peer says. Nobody is believed who has not proven an identity, and the status alone decides.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "proxy/config/model.h"
#include "proxy/net/transport.h"
#include "proxy/tls/carrier.h"
#include "proxy/tls/mesh.h"
#include "tests/unit/tls/certificates.h"

static struct carrier_means means;
static struct credentials *credentials;
static struct event_base *base;

static void prepare(void)
{
    struct authority *authority = authority_new("cluster.local");
    struct credential_parts parts = authority_issue(authority, "spiffe://cluster.local/a", NULL);
    const char *problem;

    if (carrier_means_init(&means) < 0 || credentials_new(&parts, NULL, &credentials, &problem) < 0)
        abort();
    authority_free(authority);
    base = event_base_new();
}

static void on_event(evutil_socket_t fd, short what, void *owner)
{
    (void)fd;
    (void)what;
    (void)owner;
}

static const struct name_list anybody;

static struct carrier *make(enum carrier_role role)
{
    return carrier_new(&means, credentials, role, 0);
}

/* Bytes that no peer with a key has made. */
static void fuzz_handshake(enum carrier_role role, const int *fd, const uint8_t *bytes, size_t length)
{
    struct carrier *carrier = make(role);
    int r = -EAGAIN;

    for (size_t at = 0, piece; r == -EAGAIN && at < length; at += piece) {
        piece = MIN(length - at, (size_t)bytes[at] + 1);
        if (send(fd[1], bytes + at, piece, MSG_NOSIGNAL) < 0)
            break;
        r = carrier_handshake(carrier, fd[0], role == CARRIER_DIALS ? &anybody : NULL);
    }
    if (r == 0 || carrier_peer(carrier))
        abort();
    carrier_free(carrier);
}

/* A handshake that is done, then bytes on the wire (not of any record), or inside TLS. */
static void fuzz_established(int *fd, const uint8_t *bytes, size_t length, bool inside)
{
    struct carrier *peer = make(CARRIER_ACCEPTS);
    struct transport transport;
    int r = -EAGAIN, accepts = -EAGAIN;
    char received[512];
    ssize_t n;

    transport_tcp_open(&transport, fd[0], base, on_event, NULL);
    transport_tls_begin(&transport, make(CARRIER_DIALS));
    for (int i = 0; i < 6; i++) {
        r = mesh_dial(&transport, &anybody);
        if (accepts == -EAGAIN)
            accepts = carrier_handshake(peer, fd[1], NULL);
    }
    if (r != -EAGAIN || accepts != 0)
        abort();
    if (inside) {
        struct iovec vector = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };

        if (carrier_write(peer, fd[1], &vector, 1, false) != (ssize_t)length)
            abort();
    } else if (send(fd[1], bytes, length, MSG_NOSIGNAL) < 0) {
        abort();
    }
    r = mesh_dial(&transport, &anybody);
    if (inside && length > 0 && r != mesh_status_error(mesh_status_parse(bytes[0])))
        abort();
    if (!inside && r == 0)
        abort();
    while (r == 0 && (n = transport.ops->read(&transport, received, sizeof received)) > 0)
        continue;
    transport_close(&transport, TRANSPORT_CLOSE_RESET);
    fd[0] = -1;
    carrier_free(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    int fd[2];

    if (!base)
        prepare();
    if (length == 0 || length > 32768 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) < 0)
        return 0;
    switch (bytes[0] % 4) {
    case 0:
        fuzz_handshake(CARRIER_ACCEPTS, fd, bytes + 1, length - 1);
        break;
    case 1:
        fuzz_handshake(CARRIER_DIALS, fd, bytes + 1, length - 1);
        break;
    default:
        fuzz_established(fd, bytes + 1, length - 1, bytes[0] % 4 == 3);
        break;
    }
    if (fd[0] >= 0)
        close(fd[0]);
    close(fd[1]);
    return 0;
}
