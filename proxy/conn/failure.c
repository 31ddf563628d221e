#include "proxy/conn/failure.h"

#include <errno.h>

static const unsigned retry_bit_of[CONNECT_CAUSE_COUNT] = {
    [CONNECT_CAUSE_REFUSED] = RETRY_ON_REFUSED,
    [CONNECT_CAUSE_TIMEOUT] = RETRY_ON_TIMEOUT,
    [CONNECT_CAUSE_UNREACHABLE] = RETRY_ON_UNREACHABLE,
    [CONNECT_CAUSE_RESET_BEFORE_REPLY] = RETRY_ON_RESET_BEFORE_REPLY,
    [CONNECT_CAUSE_FIRST_BYTE_TIMEOUT] = RETRY_ON_TIMEOUT,
    [CONNECT_CAUSE_TLS] = RETRY_ON_TLS,
};

static const enum end_reason end_of[CONNECT_CAUSE_COUNT] = {
    [CONNECT_CAUSE_REFUSED] = END_CONNECT_REFUSED,
    [CONNECT_CAUSE_TIMEOUT] = END_CONNECT_TIMEOUT,
    [CONNECT_CAUSE_UNREACHABLE] = END_CONNECT_UNREACHABLE,
    [CONNECT_CAUSE_RESET_BEFORE_REPLY] = END_UPSTREAM_RESET,
    [CONNECT_CAUSE_FIRST_BYTE_TIMEOUT] = END_FIRST_BYTE_TIMEOUT,
    [CONNECT_CAUSE_TLS] = END_CONNECT_TLS,
    [CONNECT_CAUSE_DENIED] = END_CONNECT_DENIED,
    [CONNECT_CAUSE_NO_DESCRIPTORS] = END_NO_DESCRIPTORS,
    [CONNECT_CAUSE_OTHER] = END_CONNECT_FAILED,
};

enum connect_cause failure_cause(int error)
{
    switch (-error) {
    case ECONNRESET: /* after the handshake, before we looked */
    case EPIPE:
        return CONNECT_CAUSE_RESET_BEFORE_REPLY;
    case ECONNREFUSED:
    case ENOENT: /* a unix socket that is not there */
        return CONNECT_CAUSE_REFUSED;
    case ETIMEDOUT:
    case EAGAIN: /* a unix socket whose backlog is full */
        return CONNECT_CAUSE_TIMEOUT;
    case EADDRNOTAVAIL: /* no local port is left for this destination */
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EACCES: /* a firewall's REJECT or DROP in our own output chain */
    case EPERM:
        return CONNECT_CAUSE_UNREACHABLE;
    case EPROTO: /* see mesh.h */
    case ENOKEY:
    case EPROTONOSUPPORT:
        return CONNECT_CAUSE_TLS;
    case EKEYREJECTED:
        return CONNECT_CAUSE_DENIED;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return CONNECT_CAUSE_NO_DESCRIPTORS;
    default:
        return CONNECT_CAUSE_OTHER;
    }
}

bool failure_is_retried(const struct retry_config *retry, enum connect_cause cause)
{
    return (retry->on & retry_bit_of[cause]) != 0;
}

enum end_reason failure_end_reason(enum connect_cause cause)
{
    return end_of[cause];
}
