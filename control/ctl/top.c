/* `top`: what passes now. On a terminal a page that changes, with keys; else one page after the other, as plain text.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "control/ctl/ctl.h"
#include "control/ctl/top_look.h"
#include "control/ctl/top_view.h"

#define ALTERNATE_SCREEN "\033[?1049h\033[?25l"
#define USUAL_SCREEN     "\033[?25h\033[?1049l"
#define TO_THE_TOP       "\033[H\033[J"

static const char help[] = "q quit, s sort by the next column, n by name, / filter, e endpoints, r reasons, p pause";

struct top {
    const struct ctl_options *options;
    struct top_look looks[2];
    unsigned turn;
    struct top_choice choice;
    struct termios usual;
    bool is_terminal, has_keys, is_paused, is_typing, ends;
    char hint[200];
};

static volatile sig_atomic_t was_told_to_end;

static void on_ending(int number)
{
    (void)number;
    was_told_to_end = 1;
}

static void begin_terminal(struct top *top)
{
    struct termios raw;

    top->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &top->usual) == 0;
    if (top->has_keys) {
        raw = top->usual;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs(ALTERNATE_SCREEN, stdout);
}

static void end_terminal(const struct top *top)
{
    fputs(USUAL_SCREEN, stdout);
    fflush(stdout);
    if (top->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &top->usual);
}

static void make_hint(struct top *top)
{
    if (top->is_typing)
        snprintf(top->hint, sizeof top->hint, "filter by name: %s_", top->choice.filter);
    else if (top->has_keys)
        snprintf(top->hint, sizeof top->hint, "%sby %s%s%s; %s", top->is_paused ? "PAUSED; " : "",
                 top_view_sort_name(top->choice.sort), top->choice.filter[0] ? ", filter " : "", top->choice.filter,
                 help);
    else
        top->hint[0] = '\0';
    top->choice.hint = top->hint;
}

static void show(struct top *top)
{
    struct winsize size = { 0 };

    if (top->is_terminal) {
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
            top->choice.width = size.ws_col;
            top->choice.height = size.ws_row;
        }
        make_hint(top);
        fputs(TO_THE_TOP, stdout);
    }
    top_view_print(&top->looks[(top->turn + 1) % 2], &top->looks[top->turn % 2], &top->choice, stdout);
}

/* A letter of the filter. */
static void type(struct top *top, char key)
{
    size_t length = strlen(top->choice.filter);

    if (key == '\n' || key == '\r')
        top->is_typing = false;
    else if (key == 0x1b) {
        top->is_typing = false;
        top->choice.filter[0] = '\0';
    } else if ((key == 0x7f || key == '\b') && length > 0)
        top->choice.filter[length - 1] = '\0';
    else if (key > ' ' && key < 0x7f && length + 1 < sizeof top->choice.filter) {
        top->choice.filter[length] = key;
        top->choice.filter[length + 1] = '\0';
    }
}

static void press(struct top *top, char key)
{
    if (top->is_typing) {
        type(top, key);
        return;
    }
    switch (key) {
    case 'q':
        top->ends = true;
        break;
    case 's':
        top->choice.sort = (top->choice.sort + 1) % (TOP_COLUMN_COUNT + 1);
        break;
    case 'n':
        top->choice.sort = TOP_COLUMN_COUNT;
        break;
    case '/':
        top->choice.filter[0] = '\0';
        top->is_typing = true;
        break;
    case 'e':
        top->choice.hides_endpoints = !top->choice.hides_endpoints;
        break;
    case 'r':
        top->choice.hides_reasons = !top->choice.hides_reasons;
        break;
    case 'p':
        top->is_paused = !top->is_paused;
        break;
    default:
        break;
    }
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Until it is time for the next look: keys are answered at once. */
static void wait_and_answer(struct top *top)
{
    uint64_t end_ms = now_ms() + top->options->interval_ms;

    while (!was_told_to_end && !top->ends && now_ms() < end_ms) {
        struct pollfd poll_fd = { .fd = top->has_keys ? STDIN_FILENO : -1, .events = POLLIN };
        char keys[64];
        ssize_t n;

        if (poll(&poll_fd, 1, (int)MIN(end_ms - now_ms(), (uint64_t)86400000)) <= 0)
            continue;
        n = read(STDIN_FILENO, keys, sizeof keys);
        if (n <= 0)
            top->has_keys = false; /* nobody can press any more */
        for (ssize_t i = 0; i < n; i++)
            press(top, keys[i]);
        show(top);
    }
}

static int run(struct top *top, char *problem, size_t size)
{
    int r = top_look_take(top->options, &top->looks[0], problem, size);

    if (r == CTL_DONE && top->is_terminal)
        begin_terminal(top);
    while (r == CTL_DONE) {
        wait_and_answer(top);
        if (was_told_to_end || top->ends)
            break;
        if (top->is_paused)
            continue;
        r = top_look_take(top->options, &top->looks[(top->turn + 1) % 2], problem, size);
        if (r != CTL_DONE)
            break;
        top->turn++;
        show(top);
        if (ferror(stdout))
            r = CTL_NO;
    }
    if (top->is_terminal)
        end_terminal(top);
    return r;
}

int ctl_top(const struct ctl_options *options)
{
    static struct top top;
    const struct sigaction ending = { .sa_handler = on_ending };
    char problem[512] = "";
    int r;

    top = (struct top){ .options = options, .is_terminal = isatty(STDOUT_FILENO) };
    sigaction(SIGINT, &ending, NULL);
    sigaction(SIGTERM, &ending, NULL);
    sigaction(SIGHUP, &ending, NULL);
    r = run(&top, problem, sizeof problem);
    if (problem[0] != '\0')
        fprintf(stderr, "outriggerctl: %s", problem);
    return r;
}
