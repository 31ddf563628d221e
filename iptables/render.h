/* The rules as text that `nft -f` loads. Pure. */
#pragma once

#include "base/strbuf.h"
#include "iptables/ruleset.h"

/* Appends the table as `nft list table` shows it. */
void render_table(const struct ruleset *ruleset, struct strbuf *text);

/* The same with what replaces an older table in the same transaction before it. */
void render_script(const struct ruleset *ruleset, struct strbuf *text);

/* Appends what a rule asks for and does, without its counter and comment: `tcp dport 22 return`. */
void render_rule(const struct rule *rule, struct strbuf *text);

/* The rule's place in its chain, from 1. */
unsigned render_number(const struct ruleset *ruleset, const struct rule *rule);

/* Appends the rules as a table for people: number, what it has counted, the rule, and its reason in words. */
void render_explanation(const struct ruleset *ruleset, struct strbuf *text);
