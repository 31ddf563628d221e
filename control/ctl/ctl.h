/* outriggerctl: what its parts share. The program is single-threaded and links nothing but musl. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CTL_DEFAULT_SOCKET "/run/outrigger/control.sock"

enum ctl_exit {
    CTL_DONE = 0,
    CTL_NO = 1, /* `ready` when not ready; a command that was refused */
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 69, /* EX_UNAVAILABLE of sysexits.h: no proxy answers, or it took too long */
};

struct ctl_options {
    const char *socket_path;
    bool json;
    uint64_t timeout_ms, interval_ms;
    bool has_timeout; /* it was given */
    bool start_on_timeout, quit, wait;
    char **command; /* the words behind the subcommand and its options; NULL-terminated */
};

/* The subcommands. Each returns the exit code. */
int ctl_wait(const struct ctl_options *options);
int ctl_run(const struct ctl_options *options);
int ctl_drain(const struct ctl_options *options);
int ctl_quit(const struct ctl_options *options);
int ctl_copy(const struct ctl_options *options);
int ctl_top(const struct ctl_options *options);
int ctl_trace(const struct ctl_options *options);
int ctl_connections(const struct ctl_options *options);
int ctl_log_level(const struct ctl_options *options);
int ctl_authz(const struct ctl_options *options);
int ctl_eject(const struct ctl_options *options);
int ctl_restore(const struct ctl_options *options);
int ctl_fault(const struct ctl_options *options);

/*
 * Makes one request and prints the answer: to stdout when it is a yes, to stderr otherwise. Returns the exit code.
 * A `body` of "" is none.
 */
int ctl_ask_and_print(const struct ctl_options *options, const char *method, const char *path, const char *body);
