/*
 * gRPC's health check over HTTP/2 with prior knowledge: one unary call of grpc.health.v1.Health/Check. The messages are
 * so small that their few bytes are written and read here.
 */
#include <event2/buffer.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/probe/probe_private.h"

#define PREFIX_SIZE 5 /* of a message: compressed or not, and its length (PROTOCOL-HTTP2.md) */
#define SERVING     1 /* HealthCheckResponse.ServingStatus */

static void make_request(struct probe *probe)
{
    const char *service = probe->own.config->service ? probe->own.config->service : "";
    size_t length = strlen(service);
    unsigned char *message = probe->grpc.request + PREFIX_SIZE;
    size_t size = 0;

    if (length > 0) {
        message[size++] = 1 << 3 | 2; /* field 1, a string; its length is a varint */
        if (length >= 128)
            message[size++] = (unsigned char)(length & 127) | 128;
        message[size++] = (unsigned char)(length >= 128 ? length >> 7 : length);
        memcpy(message + size, service, length);
        size += length;
    }
    memset(probe->grpc.request, 0, PREFIX_SIZE);
    probe->grpc.request[3] = (unsigned char)(size >> 8);
    probe->grpc.request[4] = (unsigned char)size;
    probe->grpc.request_length = PREFIX_SIZE + size;
    probe->grpc.sent = 0;
}

static ssize_t on_send(nghttp2_session *session, int32_t stream, uint8_t *into, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *argument)
{
    struct probe *probe = argument;
    size_t n = MIN(size, probe->grpc.request_length - probe->grpc.sent);

    (void)session;
    (void)stream;
    (void)source;
    memcpy(into, probe->grpc.request + probe->grpc.sent, n);
    probe->grpc.sent += n;
    if (probe->grpc.sent == probe->grpc.request_length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int number(const uint8_t *text, size_t length)
{
    int value = 0;

    if (length == 0 || length > 3)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + text[i] - '0';
    }
    return value;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t length, uint8_t flags, void *argument)
{
    struct probe *probe = argument;

    (void)session;
    (void)frame;
    (void)flags;
    if (name_length == 7 && memcmp(name, ":status", 7) == 0)
        probe->grpc.http_status = number(value, length);
    if (name_length == 11 && memcmp(name, "grpc-status", 11) == 0)
        probe->grpc.grpc_status = number(value, length);
    return 0;
}

/* What is beyond what is looked at is dropped. */
static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t length,
                    void *argument)
{
    struct probe *probe = argument;
    size_t n = MIN(length, sizeof probe->grpc.answer - probe->grpc.answer_length);

    (void)session;
    (void)flags;
    (void)stream;
    memcpy(probe->grpc.answer + probe->grpc.answer_length, bytes, n);
    probe->grpc.answer_length += n;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *argument)
{
    struct probe *probe = argument;

    (void)session;
    (void)stream;
    (void)code;
    probe->grpc.is_closed = true;
    return 0;
}

/* The status of a HealthCheckResponse; 0 is UNKNOWN, and what there is when nothing is written. -1: no such message. */
static int serving_status(const unsigned char *answer, size_t length)
{
    if (length < PREFIX_SIZE || answer[0] != 0 || answer[1] || answer[2] || answer[3] ||
        length - PREFIX_SIZE < answer[4])
        return -1;
    if (answer[4] == 0)
        return 0;
    return answer[4] >= 2 && answer[PREFIX_SIZE] == 1 << 3 ? answer[PREFIX_SIZE + 1] : -1;
}

static void judge(struct probe *probe)
{
    int status = serving_status(probe->grpc.answer, probe->grpc.answer_length);

    if (probe->grpc.http_status < 0)
        probe_finish(probe, 503, "gRPC: the app ended the call without an answer");
    else if (probe->grpc.http_status != 200)
        probe_finish(probe, 503, "gRPC: the app's HTTP status is %d", probe->grpc.http_status);
    else if (probe->grpc.grpc_status != 0)
        probe_finish(probe, 503, "gRPC: the app's grpc-status is %d%s", probe->grpc.grpc_status,
                     probe->grpc.grpc_status == 12  ? " (it has no health service)"
                     : probe->grpc.grpc_status == 5 ? " (it does not know this service)"
                                                    : "");
    else if (status != SERVING)
        probe_finish(probe, 503, "gRPC: the service is not SERVING (%d)", status);
    else
        probe_finish(probe, 200, "ok");
}

/* Writes what the session has to say. Returns whether the probe goes on. */
static bool flush(struct probe *probe)
{
    const uint8_t *bytes;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(probe->grpc.session, &bytes)) > 0)
        bufferevent_write(probe->stream, bytes, (size_t)n);
    if (n == 0)
        return true;
    probe_finish(probe, 503, "gRPC: %s", nghttp2_strerror((int)n));
    return false;
}

static int open_session(struct probe *probe)
{
    nghttp2_session_callbacks *callbacks;
    int r = nghttp2_session_callbacks_new(&callbacks);

    if (r < 0)
        return r;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    r = nghttp2_session_client_new(&probe->grpc.session, callbacks, probe);
    nghttp2_session_callbacks_del(callbacks);
    return r;
}

#define HEADER(key, text)                                                                                   \
    {                                                                                                       \
        .name = (uint8_t *)(uintptr_t)(key), .namelen = strlen(key), .value = (uint8_t *)(uintptr_t)(text), \
        .valuelen = strlen(text), .flags = NGHTTP2_NV_FLAG_NONE                                             \
    }

static void begin(struct probe *probe)
{
    const nghttp2_nv headers[] = {
        HEADER(":method", "POST"),
        HEADER(":scheme", "http"),
        HEADER(":path", "/grpc.health.v1.Health/Check"),
        HEADER(":authority", probe->authority),
        HEADER("te", "trailers"),
        HEADER("content-type", "application/grpc"),
        HEADER("user-agent", "kube-probe/outrigger"),
    };
    const nghttp2_data_provider body = { .read_callback = on_send };
    int r;

    probe->grpc.http_status = probe->grpc.grpc_status = -1;
    make_request(probe);
    r = open_session(probe);
    if (r == 0)
        r = nghttp2_submit_settings(probe->grpc.session, NGHTTP2_FLAG_NONE, NULL, 0);
    if (r == 0)
        r = MIN(0, nghttp2_submit_request(probe->grpc.session, NULL, headers, ARRAY_SIZE(headers), &body, NULL));
    if (r < 0)
        probe_finish(probe, 503, "gRPC: %s", nghttp2_strerror(r));
    else
        flush(probe);
}

static void received(struct probe *probe)
{
    struct evbuffer *input = bufferevent_get_input(probe->stream);
    size_t length = evbuffer_get_length(input);
    ssize_t n = nghttp2_session_mem_recv(probe->grpc.session, evbuffer_pullup(input, -1), length);

    if (n < 0) {
        probe_finish(probe, 503, "the app's answer is not HTTP/2: %s", nghttp2_strerror((int)n));
        return;
    }
    evbuffer_drain(input, length);
    if (flush(probe) && probe->grpc.is_closed)
        judge(probe);
}

static void done(struct probe *probe)
{
    nghttp2_session_del(probe->grpc.session);
    probe->grpc.session = NULL;
}

const struct probe_protocol probe_grpc = { .begin = begin, .received = received, .done = done };
