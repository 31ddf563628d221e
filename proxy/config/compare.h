/* How two configurations differ. */
#pragma once

#include <stdbool.h>

#include "proxy/config/model.h"
#include "proxy/config/node.h"
#include "proxy/config/report.h"

/* Whether they mean the same. False also without memory. */
bool compare_configs(const struct config *one, const struct config *other);
bool compare_health_checks(const struct health_check_config *one, const struct health_check_config *other);

/* Reports each key of `config` that differs from `running` and cannot change while the proxy runs. */
void compare_report_restarts(const struct node *root, struct config *config, const struct config *running,
                             struct report *report);
