#include "proxy/config/validate_access_log.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"

#define ALL_OF_THEM 10000 /* hundredths of a percent */

static bool has_address(const struct access_log_sink_config *sink)
{
    return sink->address.host || sink->address.address.family != AF_UNSPEC;
}

static void check_sink(const struct validate *validate, const struct access_log_sink_config *sink, size_t i)
{
    bool is_file = sink->type == ACCESS_LOG_FILE, is_syslog = sink->type == ACCESS_LOG_SYSLOG;
    bool is_unix = sink->address.address.family == AF_UNIX;
    bool is_tls = is_syslog && sink->transport == SYSLOG_TLS;
    const struct {
        bool is_wrong;
        const char *key, *problem;
    } rules[] = {
        { is_file && !sink->path, "type", "file needs path" },
        { !is_file && sink->path, "path", "has no effect; it belongs to type: file" },
        { is_syslog && !has_address(sink), "type", "syslog needs address" },
        { !is_syslog && has_address(sink), "address", "has no effect; it belongs to type: syslog" },
        { !is_syslog && sink->transport != SYSLOG_UDP, "transport", "has no effect; it belongs to type: syslog" },
        { !is_syslog && sink->facility != SYSLOG_LOCAL0, "facility", "has no effect; it belongs to type: syslog" },
        { !is_syslog && strcmp(sink->app_name, "outrigger") != 0, "app_name",
          "has no effect; it belongs to type: syslog" },
        { is_syslog && is_unix && sink->transport != SYSLOG_UDP, "transport",
          "a unix socket has datagrams; leave transport out" },
        { is_tls && !sink->trust_bundle, "transport", "tls needs trust_bundle" },
        { !is_tls && sink->trust_bundle, "trust_bundle", "has no effect; it belongs to transport: tls" },
        { !is_tls && sink->server_name, "server_name", "has no effect; it belongs to transport: tls" },
    };

    for (size_t rule = 0; rule < ARRAY_SIZE(rules); rule++) {
        char path[MOST_PATH];

        snprintf(path, sizeof path, "access_log.sinks[%zu].%s", i, rules[rule].key);
        if (rules[rule].is_wrong)
            validate_complain(validate, path, "%s", rules[rule].problem);
    }
}

void validate_access_log(const struct validate *validate)
{
    const struct access_log_config *access_log = &validate->config->access_log;

    if (access_log->filter != ACCESS_LOG_ALL && access_log->interval_ms > 0)
        validate_complain(validate, "access_log.interval", "has no effect without filter: all");
    if (access_log->filter != ACCESS_LOG_ALL && access_log->sampling != ALL_OF_THEM)
        validate_complain(validate, "access_log.sampling", "has no effect without filter: all");
    if (access_log->interval_ms > 0 && access_log->interval_ms < 1000)
        validate_complain(validate, "access_log.interval", "too short; allowed: 0, or 1s to 24h");
    for (size_t i = 0; i < access_log->sinks.count; i++)
        check_sink(validate, &access_log->sinks.items[i], i);
}
