/* From the YAML tree to the model, row by row. */
#pragma once

#include "proxy/config/model.h"
#include "proxy/config/node.h"
#include "proxy/config/report.h"
#include "proxy/config/schema.h"

/*
 * Sets every default and then what `root` says. `root` may be NULL (an empty document). Memory comes from
 * config->arena. Mistakes go to `report`; decoding goes on behind them, so that one run finds all. Returns 0 or
 * -ENOMEM.
 */
int config_decode(const struct node *root, struct config *config, struct report *report);

/* The same for a part of it: `base` is the struct that the rows of `section` describe. */
int config_decode_section(const struct section *section, const struct node *root, struct arena *arena, void *base,
                          struct report *report);
