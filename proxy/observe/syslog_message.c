#include "proxy/observe/syslog_message.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define HEAD_SIZE        512
#define SEVERITY_WARNING 4 /* RFC 5424, 6.2.1 */
#define SEVERITY_INFO    6

void syslog_find_own_host(char host[SYSLOG_HOST_SIZE])
{
    if (gethostname(host, SYSLOG_HOST_SIZE - 1) < 0 || host[0] == '\0')
        strcpy(host, "-");
    for (char *at = host; *at; at++)
        *at = *at > ' ' && *at < 0x7f ? *at : '?';
}

bool syslog_message_add(struct log_queue *queue, unsigned facility, const char *host, const char *app_name,
                        const char *line, size_t length, bool is_abnormal)
{
    unsigned severity = is_abnormal ? SEVERITY_WARNING : SEVERITY_INFO;
    char head[HEAD_SIZE], counted[HEAD_SIZE + 32], time_text[32];
    double now_s = clock_wall_seconds();
    time_t whole = (time_t)now_s;
    int head_length, counted_length;
    struct tm utc;

    gmtime_r(&whole, &utc);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &utc);
    head_length = snprintf(head, sizeof head, "<%u>1 %s.%03uZ %s %s %ld access - ", facility * 8 + severity, time_text,
                           (unsigned)((now_s - (double)whole) * 1000), host, app_name, (long)getpid());
    counted_length = snprintf(counted, sizeof counted, "%zu %s", (size_t)head_length + length, head);
    return log_queue_add(queue, counted, (size_t)counted_length, line, length);
}

size_t syslog_message_first(const struct log_queue *queue, size_t *ret_head)
{
    const char *at = log_queue_front(queue);
    size_t length = 0, head = 0;

    while (at[head] != ' ')
        length = length * 10 + (size_t)(at[head++] - '0');
    *ret_head = head + 1;
    return head + 1 + length;
}
