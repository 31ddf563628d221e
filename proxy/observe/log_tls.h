/*
 * TLS to a log collector: its certificate is verified, with roots of its own, for a name or an address (RFC 5425, 5.2).
 * It is nothing of the mesh's.
 *
 * Thread: the log writer's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct log_tls;

/*
 * On a connected descriptor, which stays the caller's; the name is not changed (OpenSSL's macro drops `const`).
 * NULL: *ret_problem says why, static.
 */
struct log_tls *log_tls_new(int fd, const char *trust_bundle, char *server_name, const char **ret_problem);
void log_tls_free(struct log_tls *tls);

/* 0 when it is done, -EAGAIN, or -EPROTO: *ret_problem says why, static. */
int log_tls_handshake(struct log_tls *tls, const char **ret_problem);

/* What the last -EAGAIN waits for. */
bool log_tls_wants_write(const struct log_tls *tls);

/* Bytes, 0 at the end (reading), -EAGAIN, or another negative errno. */
ssize_t log_tls_write(struct log_tls *tls, const void *bytes, size_t length);
ssize_t log_tls_read(struct log_tls *tls, void *bytes, size_t size);
