/* `run`: the app starts when the proxy is ready; with --quit the proxy ends when the app has ended. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/ctl/client.h"
#include "control/ctl/gate.h"

#define QUIT_TIMEOUT_MS 5000

enum {
    EXIT_NOT_EXECUTABLE = 126, /* as shells have it */
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNAL_BASE = 128,
};

static pid_t start(char **command, const sigset_t *mask)
{
    pid_t child = fork();
    int error;

    if (child != 0)
        return child;
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(command[0], command);
    error = errno;
    fprintf(stderr, "outriggerctl: %s: %s\n", command[0], strerror(error));
    _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* Reaps whatever has ended (as the first process of a container must); true when `child` was among it. */
static bool reap(pid_t child, int *ret_code)
{
    bool found = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != child)
            continue;
        found = true;
        *ret_code = WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return found;
}

/* The terminal has stopped the child: the shell must see its job stopped, and the child go on with it. */
static void stop_with(pid_t child)
{
    if (getpid() == 1)
        return;
    raise(SIGSTOP);
    kill(child, SIGCONT);
}

/* Passes every signal on until the child has ended; returns its code. */
static int supervise(pid_t child, const sigset_t *signals)
{
    int code = 0;

    for (;;) {
        siginfo_t about;
        int number = sigwaitinfo(signals, &about);

        if (number < 0)
            continue;
        if (number == SIGCHLD) {
            if (reap(child, &code))
                return code;
        } else if (about.si_code != SI_KERNEL) /* a terminal's Ctrl-C reaches the child by itself */
            kill(child, number);
        else if (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU)
            stop_with(child);
    }
}

static void quit_proxy(const struct ctl_options *options)
{
    struct client_answer answer;
    int r = client_request(options->socket_path, "POST", "/quit", "text/plain", "", QUIT_TIMEOUT_MS, &answer);

    if (r < 0) {
        fprintf(stderr, "outriggerctl: the proxy could not be ended: %s: %s\n", options->socket_path, strerror(-r));
        return;
    }
    if (answer.status >= 300)
        fprintf(stderr, "outriggerctl: the proxy does not end: %s", answer.body);
    free(answer.body);
}

int ctl_run(const struct ctl_options *options)
{
    sigset_t all, before, ending;
    int code = EXIT_NOT_EXECUTABLE, r;
    pid_t child;

    signal(SIGCHLD, SIG_DFL); /* ignored by whoever started us, the child's end would never be told */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGQUIT);
    r = gate_is_disabled() ? 0 : gate_wait(options, &ending);
    if (r > 0)
        code = EXIT_SIGNAL_BASE + r;
    else if (r < 0 && !options->start_on_timeout)
        code = CTL_UNREACHABLE;
    else {
        child = start(options->command, &before);
        if (child > 0)
            code = supervise(child, &all);
        else
            fprintf(stderr, "outriggerctl: fork: %s\n", strerror(errno));
    }
    if (options->quit && !gate_is_disabled()) /* also when CMD never ran: a Job must be able to end */
        quit_proxy(options);
    return code;
}
