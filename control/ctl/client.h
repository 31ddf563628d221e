/* One HTTP request over the control socket. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLIENT_MOST_BODY_BYTES   2048
#define CLIENT_MOST_ANSWER_BYTES (16 * 1024 * 1024)

struct client_answer {
    int status;
    char *body; /* terminated; release with free() */
    size_t length;
};

/*
 * Sends `method` `path` and reads the whole answer.
 *
 * accept       the media type that is asked for
 * body         at most CLIENT_MOST_BODY_BYTES; "" for none
 * ret_answer   set on success only
 * Returns 0, or a negative errno: of connect(2), -ETIMEDOUT after `timeout_ms`, -EPROTO when the answer is not HTTP.
 */
int client_request(const char *socket_path, const char *method, const char *path, const char *accept, const char *body,
                   uint64_t timeout_ms, struct client_answer *ret_answer);
