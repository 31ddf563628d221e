/*
 * Syslog, RFC 5424: datagrams (RFC 5426, and unix sockets), or streams with octet counting (RFC 6587, 3.4.1; TLS: RFC
 * 5425, 4.3). A stream that was lost is opened again, and the message that it had not taken whole is sent anew; what
 * the kernel had taken of one that dies is lost, as syslog has no acknowledgement.
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "proxy/net/sockopt.h"
#include "proxy/observe/log_sink.h"
#include "proxy/observe/log_tls.h"
#include "proxy/observe/syslog_message.h"
#include "proxy/upstream/dns.h"

#define FIRST_WAIT_MS   100
#define LONGEST_WAIT_MS 5000
#define CONNECT_MS      5000 /* a connection, with its handshake */
#define KEEPALIVE_MS    15000
#define DEAD_MS         30000
#define QUIET_MS        3000 /* it works when nothing has gone wrong for so long */
#define MOST_A_WRITE    (64 * 1024)
#define MOST_ADDRESSES  16

enum syslog_state {
    SYSLOG_IDLE,
    SYSLOG_RESOLVING,
    SYSLOG_CONNECTING,
    SYSLOG_SECURING,
    SYSLOG_OPEN,
    SYSLOG_WAITING, /* before it is tried again */
};

struct syslog_sink {
    struct log_sink sink;
    enum syslog_state state;
    char *host; /* NULL: `address` is it */
    union sockaddr_any address;
    enum syslog_transport transport;
    unsigned facility;
    char *app_name, *trust_bundle, *server_name;
    char own_host[SYSLOG_HOST_SIZE];
    int fd;
    struct log_tls *tls;
    size_t sent; /* of the first message in the queue, which begins with its length */
    uint64_t wait_ms;
    union inet_address found[MOST_ADDRESSES]; /* the name's */
    size_t found_count, tries;
    bool asks_ipv6;
    bool is_proven; /* OPEN: for QUIET_MS */
    struct event io, timer;
    bool is_set_up; /* the events */
};

static void begin(struct syslog_sink *syslog);
static void send_all(struct syslog_sink *syslog);

static struct syslog_sink *syslog_of(struct log_sink *sink)
{
    return CONTAINER_OF(sink, struct syslog_sink, sink);
}

static bool is_stream(const struct syslog_sink *syslog)
{
    return syslog->address.family != AF_UNIX && syslog->transport != SYSLOG_UDP;
}

static void arm(struct syslog_sink *syslog, uint64_t ms)
{
    const struct timeval after = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

    evtimer_add(&syslog->timer, &after);
}

static void close_socket(struct syslog_sink *syslog)
{
    if (syslog->fd >= 0)
        event_del(&syslog->io);
    log_tls_free(syslog->tls);
    syslog->tls = NULL;
    if (syslog->fd >= 0)
        close(syslog->fd);
    syslog->fd = -1;
    syslog->sent = 0;
}

static void fail(struct syslog_sink *syslog, const char *what)
{
    close_socket(syslog);
    if (syslog->state == SYSLOG_RESOLVING)
        dns_resolver_forget(syslog->sink.means->resolver, syslog);
    log_sink_fails(&syslog->sink, what);
    syslog->state = SYSLOG_WAITING;
    arm(syslog, syslog->wait_ms);
    syslog->wait_ms = MIN(syslog->wait_ms * 2, (uint64_t)LONGEST_WAIT_MS);
}

static void on_io(evutil_socket_t fd, short what, void *argument);

static void watch(struct syslog_sink *syslog, bool write)
{
    event_del(&syslog->io);
    event_assign(&syslog->io, syslog->sink.means->base, syslog->fd,
                 (short)(EV_PERSIST | EV_READ | (write ? EV_WRITE : 0)), on_io, syslog);
    event_add(&syslog->io, NULL);
}

static void is_open(struct syslog_sink *syslog)
{
    arm(syslog, QUIET_MS);
    syslog->state = SYSLOG_OPEN;
    syslog->is_proven = false;
    watch(syslog, false);
    send_all(syslog);
}

static void secure(struct syslog_sink *syslog)
{
    const char *problem = NULL;
    int r = log_tls_handshake(syslog->tls, &problem);

    if (r == 0)
        is_open(syslog);
    else if (r == -EAGAIN)
        watch(syslog, log_tls_wants_write(syslog->tls));
    else
        fail(syslog, problem);
}

static void connected(struct syslog_sink *syslog)
{
    const char *problem = NULL;

    if (!is_stream(syslog) || syslog->transport != SYSLOG_TLS) {
        is_open(syslog);
        return;
    }
    syslog->tls = log_tls_new(syslog->fd, syslog->trust_bundle, syslog->server_name, &problem);
    if (!syslog->tls) {
        fail(syslog, problem);
        return;
    }
    syslog->state = SYSLOG_SECURING;
    secure(syslog);
}

static void connect_to(struct syslog_sink *syslog, const struct sockaddr *address)
{
    int type = is_stream(syslog) ? SOCK_STREAM : SOCK_DGRAM;

    syslog->fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (syslog->fd < 0) {
        fail(syslog, strerror(errno));
        return;
    }
    event_assign(&syslog->io, syslog->sink.means->base, syslog->fd, EV_WRITE, on_io, syslog);
    if (is_stream(syslog))
        sockopt_set_keepalive(syslog->fd, KEEPALIVE_MS, DEAD_MS);
    if (connect(syslog->fd, address, sockaddr_length(address)) == 0) {
        connected(syslog);
        return;
    }
    if (errno != EINPROGRESS) {
        fail(syslog, strerror(errno));
        return;
    }
    syslog->state = SYSLOG_CONNECTING;
    event_add(&syslog->io, NULL);
}

static int compare_addresses(const void *one, const void *other)
{
    return memcmp(one, other, sizeof(union inet_address));
}

/* Of both families, one after the other; each try takes the next address, in an order that servers do not change. */
static void on_answer(void *owner, const struct dns_answer *answer)
{
    struct syslog_sink *syslog = owner;
    union inet_address address;

    for (size_t i = 0; answer->status == 0 && i < answer->count && syslog->found_count < MOST_ADDRESSES; i++)
        syslog->found[syslog->found_count++] = answer->addresses[i];
    if (!syslog->asks_ipv6) {
        syslog->asks_ipv6 = true;
        dns_resolver_ask(syslog->sink.means->resolver, syslog->host, AF_INET6, on_answer, syslog);
        return;
    }
    syslog->state = SYSLOG_CONNECTING; /* nothing is asked any more */
    if (syslog->found_count == 0) {
        fail(syslog, answer->status < 0 ? answer->problem : "the name has no address");
        return;
    }
    qsort(syslog->found, syslog->found_count, sizeof *syslog->found, compare_addresses);
    address = syslog->found[syslog->tries++ % syslog->found_count];
    sockaddr_set_port(&address.any, sockaddr_port(&syslog->address.any));
    connect_to(syslog, &address.any);
}

static void begin(struct syslog_sink *syslog)
{
    struct log_writer_means *means = syslog->sink.means;

    arm(syslog, CONNECT_MS);
    if (!syslog->host) {
        connect_to(syslog, &syslog->address.any);
        return;
    }
    if (!means->resolver && dns_resolver_new(means->base, &means->dns, &means->resolver) < 0) {
        means->resolver = NULL;
        fail(syslog, "names cannot be resolved");
        return;
    }
    syslog->state = SYSLOG_RESOLVING;
    syslog->found_count = 0;
    syslog->asks_ipv6 = false;
    dns_resolver_ask(means->resolver, syslog->host, AF_INET, on_answer, syslog);
}

/* So many bytes more have gone. */
static void account(struct syslog_sink *syslog, size_t bytes)
{
    struct log_queue *queue = &syslog->sink.queue;
    unsigned long lines = 0;

    syslog->sent += bytes;
    while (log_queue_length(queue) > 0) {
        size_t head, length = syslog_message_first(queue, &head);

        if (syslog->sent < length)
            break;
        syslog->sent -= length;
        log_queue_consume(queue, length);
        lines++;
    }
    log_sink_wrote(&syslog->sink, lines);
}

/* Returns how many bytes have gone, or a negative errno. */
static ssize_t send_stream(struct syslog_sink *syslog)
{
    const struct log_queue *queue = &syslog->sink.queue;
    size_t length = MIN(log_queue_length(queue) - syslog->sent, (size_t)MOST_A_WRITE);
    const char *bytes = log_queue_front(queue) + syslog->sent;
    ssize_t n;

    if (syslog->tls)
        return log_tls_write(syslog->tls, bytes, length);
    n = send(syslog->fd, bytes, length, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* Of UDP: one that was sent before was refused (udp(7)). The next may not be. */
static bool hears_of_loss(struct syslog_sink *syslog, int error)
{
    if (error != -ECONNREFUSED || is_stream(syslog) || syslog->address.family == AF_UNIX)
        return false;
    log_sink_fails(&syslog->sink, strerror(-error));
    log_sink_dropped(&syslog->sink, 1);
    arm(syslog, QUIET_MS);
    return true;
}

static ssize_t send_datagram(struct syslog_sink *syslog)
{
    const struct log_queue *queue = &syslog->sink.queue;
    size_t head, length = syslog_message_first(queue, &head);
    int error;

    if (send(syslog->fd, log_queue_front(queue) + head, length - head, MSG_NOSIGNAL) >= 0)
        return (ssize_t)length;
    if (errno == EMSGSIZE) { /* it will never go */
        log_sink_dropped(&syslog->sink, 1);
        log_queue_consume(&syslog->sink.queue, length);
        return 0;
    }
    error = -errno;
    if (hears_of_loss(syslog, error))
        return 0;
    return error == -ENOBUFS ? -EAGAIN : error;
}

static void send_all(struct syslog_sink *syslog)
{
    while (log_queue_length(&syslog->sink.queue) > 0) {
        ssize_t n = is_stream(syslog) ? send_stream(syslog) : send_datagram(syslog);

        if (n == -EAGAIN || n == -EINTR) {
            watch(syslog, true);
            return;
        }
        if (n < 0) {
            fail(syslog, strerror((int)-n));
            return;
        }
        if (n > 0)
            account(syslog, (size_t)n);
    }
    if (event_get_events(&syslog->io) & EV_WRITE)
        watch(syslog, false);
    if (syslog->sink.is_failing && !evtimer_pending(&syslog->timer, NULL))
        arm(syslog, QUIET_MS); /* it takes them again */
}

/* A collector says nothing; but it may end. */
static bool has_ended(struct syslog_sink *syslog, const char **ret_problem)
{
    char bytes[4096];
    ssize_t n = syslog->tls ? log_tls_read(syslog->tls, bytes, sizeof bytes)
                            : recv(syslog->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (!syslog->tls && n < 0)
        n = -errno;
    if (n > 0 || n == -EAGAIN || n == -EINTR || (n == 0 && !is_stream(syslog)) || hears_of_loss(syslog, (int)n))
        return false;
    *ret_problem = n == 0 ? "the collector has closed the connection" : strerror((int)-n);
    return true;
}

/* Nothing waits: the next line tries again. */
static void rest(struct syslog_sink *syslog)
{
    close_socket(syslog);
    syslog->state = SYSLOG_IDLE;
    log_sink_rests(&syslog->sink);
}

static void on_io(evutil_socket_t fd, short what, void *argument)
{
    struct syslog_sink *syslog = argument;
    const char *problem;
    int error;

    switch (syslog->state) {
    case SYSLOG_CONNECTING:
        error = sockopt_take_error((int)fd);
        if (error < 0)
            fail(syslog, strerror(-error));
        else
            connected(syslog);
        break;
    case SYSLOG_SECURING:
        secure(syslog);
        break;
    case SYSLOG_OPEN:
        if ((what & EV_READ) && has_ended(syslog, &problem)) {
            if (syslog->is_proven && log_queue_length(&syslog->sink.queue) == 0)
                rest(syslog);
            else
                fail(syslog, problem);
        } else if (what & EV_WRITE)
            send_all(syslog);
        break;
    default:
        break;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct syslog_sink *syslog = argument;

    (void)fd;
    (void)what;
    if (syslog->state == SYSLOG_OPEN) {
        syslog->wait_ms = FIRST_WAIT_MS;
        syslog->is_proven = true;
        if (!(event_get_events(&syslog->io) & EV_WRITE)) /* it does not make lines wait */
            log_sink_works(&syslog->sink);
    } else if (syslog->state != SYSLOG_WAITING)
        fail(syslog, strerror(ETIMEDOUT));
    else if (log_queue_length(&syslog->sink.queue) > 0)
        begin(syslog);
    else
        rest(syslog);
}

static void flush(struct log_sink *sink)
{
    struct syslog_sink *syslog = syslog_of(sink);

    if (!syslog->is_set_up)
        evtimer_assign(&syslog->timer, sink->means->base, on_timer, syslog);
    syslog->is_set_up = true;
    if (syslog->state == SYSLOG_OPEN && !(event_get_events(&syslog->io) & EV_WRITE))
        send_all(syslog);
    else if (syslog->state == SYSLOG_IDLE && log_queue_length(&sink->queue) > 0)
        begin(syslog);
}

static bool add(struct log_sink *sink, const char *line, size_t length, bool is_abnormal)
{
    const struct syslog_sink *syslog = syslog_of(sink);

    return syslog_message_add(&sink->queue, syslog->facility, syslog->own_host, syslog->app_name, line, length,
                              is_abnormal);
}

static void free_sink(struct log_sink *sink)
{
    struct syslog_sink *syslog = syslog_of(sink);
    size_t head;

    while (sink->means && log_queue_length(&sink->queue) > 0) {
        log_sink_dropped(sink, 1);
        log_queue_consume(&sink->queue, syslog_message_first(&sink->queue, &head));
    }
    if (syslog->state == SYSLOG_RESOLVING)
        dns_resolver_forget(sink->means->resolver, syslog);
    if (syslog->is_set_up)
        evtimer_del(&syslog->timer);
    close_socket(syslog);
    log_sink_done(sink);
    free(syslog->host);
    free(syslog->app_name);
    free(syslog->trust_bundle);
    free(syslog->server_name);
    free(syslog);
}

static const struct log_sink_ops ops = { .add = add, .flush = flush, .free = free_sink };

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

int log_sink_syslog_new(const struct access_log_sink_config *config, struct log_sink **ret_sink)
{
    struct syslog_sink *syslog = calloc(1, sizeof *syslog);
    char own_name[SOCKADDR_TEXT_SIZE];
    int r;

    if (!syslog)
        return -ENOMEM;
    syslog->fd = -1;
    syslog->wait_ms = FIRST_WAIT_MS;
    syslog->tries = (size_t)getpid(); /* not all processes at the same one */
    syslog->transport = (enum syslog_transport)config->transport;
    syslog->facility = (unsigned)config->facility;
    syslog->host = copy(config->address.host);
    syslog->app_name = copy(config->app_name);
    syslog->trust_bundle = copy(config->trust_bundle);
    syslog->address = config->address.address;
    if (config->server_name || config->address.host)
        syslog->server_name = copy(config->server_name ? config->server_name : config->address.host);
    else if (config->address.address.family != AF_UNIX)
        syslog->server_name = copy(sockaddr_format_host(&config->address.address.any, own_name));
    if (config->address.host) {
        syslog->address.family = AF_INET;
        sockaddr_set_port(&syslog->address.any, config->address.port);
    }
    syslog_find_own_host(syslog->own_host);
    r = log_sink_init(&syslog->sink, &ops, config);
    if (r < 0 || !syslog->app_name) {
        free_sink(&syslog->sink);
        return -ENOMEM;
    }
    *ret_sink = &syslog->sink;
    return 0;
}
