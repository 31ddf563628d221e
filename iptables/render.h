/* The rules as text that `nft -f` loads. Pure. */
#pragma once

#include "base/strbuf.h"
#include "iptables/ruleset.h"

/* Appends the table as `nft list table` shows it. */
void render_table(const struct ruleset *ruleset, struct strbuf *text);

/* The same with what replaces an older table in the same transaction before it. */
void render_script(const struct ruleset *ruleset, struct strbuf *text);

/* Appends one rule, without its comment. */
void render_rule(const struct rule *rule, struct strbuf *text);
