/* A range of TCP ports, both ends included (`5432`, `5000-5010`). All functions are pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PORT_RANGE_TEXT_SIZE 12

struct port_range {
    uint16_t first;
    uint16_t last;
};

/* Returns 0, or -EINVAL; then *ret_problem says in words what is wrong. */
int port_range_parse(const char *text, struct port_range *ret_range, const char **ret_problem);

bool port_range_contains(struct port_range range, uint16_t port);

/* `text` has PORT_RANGE_TEXT_SIZE bytes; returns it. */
const char *port_range_format(struct port_range range, char *text);
