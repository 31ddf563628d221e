#include "proxy/upstream/route.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/sockaddr.h"
#include "proxy/config/match_rules.h"

/* Rules that stand together. */
struct span {
    const struct match_rule *begin, *end;
};

/* What a lookup asks for; at first the name is not known. */
struct wanted {
    uint8_t family;
    uint8_t bytes[16]; /* masked as the span's prefix says */
    uint16_t port;
    const char *name; /* NULL: not known */
};

/* The first rule of the span of which `is_before` is false; those of which it is true come first. */
static const struct match_rule *first_not(struct span span, const void *than,
                                          bool (*is_before)(const struct match_rule *rule, const void *than))
{
    while (span.begin < span.end) {
        const struct match_rule *middle = span.begin + (span.end - span.begin) / 2;

        if (is_before(middle, than))
            span.begin = middle + 1;
        else
            span.end = middle;
    }
    return span.begin;
}

static bool has_prefix_of(const struct match_rule *rule, const void *than)
{
    const struct match_rule *first = than;

    return rule->block.family == first->block.family && rule->block.prefix == first->block.prefix;
}

static bool has_lower_address(const struct match_rule *rule, const void *than)
{
    return memcmp(rule->block.bytes, than, sizeof rule->block.bytes) < 0;
}

static unsigned width_of(const struct match_rule *rule)
{
    return (unsigned)(rule->ports.last - rule->ports.first);
}

static bool has_block_and_width_of(const struct match_rule *rule, const void *than)
{
    const struct match_rule *first = than;

    return width_of(rule) == width_of(first) &&
           memcmp(rule->block.bytes, first->block.bytes, sizeof rule->block.bytes) == 0;
}

/* Within one block and width. */
static bool comes_before(const struct match_rule *rule, const void *than)
{
    return match_rules_compare(rule, than) < 0;
}

static void mask(const struct sockaddr *address, unsigned prefix, uint8_t *ret_bytes)
{
    size_t length = address->sa_family == AF_INET ? 4 : 16;
    const void *bytes = address->sa_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;

    memset(ret_bytes, 0, 16);
    memcpy(ret_bytes, bytes, length);
    for (size_t i = 0; i < length; i++) {
        unsigned kept = prefix > i * 8 ? prefix - (unsigned)i * 8 : 0;

        if (kept < 8)
            ret_bytes[i] &= (uint8_t)(0xff00 >> kept);
    }
}

/* Of two of the same rank. */
static bool goes_first(const struct match_rule *rule, const struct match_rule *other)
{
    return rule->is_remembered != other->is_remembered ? other->is_remembered : rule->order < other->order;
}

/* In a span of one block and width, what has exactly this kind and text and the port. Of several the first in the file.
 */
static const struct match_rule *find_name(struct span span, uint16_t port, enum match_sni_kind kind, const char *text)
{
    struct match_rule least = *span.begin;
    unsigned width = width_of(span.begin);
    const struct match_rule *found = NULL;

    least.sni_kind = kind;
    least.sni = text;
    least.ports.first = (uint16_t)(port > width ? port - width : 0);
    least.ports.last = (uint16_t)(least.ports.first + width);
    least.order = 0;
    least.is_remembered = false;
    for (const struct match_rule *rule = first_not(span, &least, comes_before);
         rule < span.end && rule->sni_kind == kind && rule->ports.first <= port && strcmp(rule->sni, text) == 0;
         rule++) {
        if (!found || goes_first(rule, found))
            found = rule;
    }
    return found;
}

/* Exact, then each ending of the name, the longest first. */
static const struct match_rule *find_in_span(struct span span, const struct wanted *wanted)
{
    const struct match_rule *found = NULL;

    if (!wanted->name)
        found = find_name(span, wanted->port, MATCH_SNI_PEEK, "");
    else if (wanted->name[0])
        found = find_name(span, wanted->port, MATCH_SNI_EXACT, wanted->name);
    for (const char *dot = wanted->name ? strchr(wanted->name, '.') : NULL; dot && !found; dot = strchr(dot + 1, '.'))
        found = find_name(span, wanted->port, MATCH_SNI_WILDCARD, dot + 1);
    return found ? found : find_name(span, wanted->port, MATCH_SNI_ANY, "");
}

/* In a span of one prefix. */
static const struct match_rule *find_in_prefix(struct span prefix, const struct wanted *wanted)
{
    struct span span = { .begin = first_not(prefix, wanted->bytes, has_lower_address) };

    for (; span.begin < prefix.end && memcmp(span.begin->block.bytes, wanted->bytes, sizeof wanted->bytes) == 0;
         span.begin = span.end) {
        const struct match_rule *found;

        span.end = first_not((struct span){ span.begin, prefix.end }, span.begin, has_block_and_width_of);
        found = find_in_span(span, wanted);
        if (found)
            return found;
    }
    return NULL;
}

static const struct match_rule *find(const struct route_table *table, const struct sockaddr *destination,
                                     const char *name)
{
    struct wanted wanted = { .port = sockaddr_port(destination), .name = name };
    const struct match_rule *end = table->rules + table->count;
    struct span prefix = { .end = table->rules };

    for (prefix.begin = prefix.end; prefix.begin < end; prefix.begin = prefix.end) {
        const struct match_rule *found;

        prefix.end = first_not((struct span){ prefix.begin, end }, prefix.begin, has_prefix_of);
        if (prefix.begin->block.family != destination->sa_family)
            continue;
        mask(destination, prefix.begin->block.prefix, wanted.bytes);
        found = find_in_prefix(prefix, &wanted);
        if (found)
            return found;
    }
    return NULL;
}

const struct match_rule *route_find(const struct route_table *table, const struct sockaddr *destination)
{
    return find(table, destination, NULL);
}

const struct match_rule *route_find_named(const struct route_table *table, const struct sockaddr *destination,
                                          const char *name)
{
    return find(table, destination, name);
}

/* For each rule with a server name one that asks for it; returns how many there are then. */
static size_t add_peeks(struct match_rule *rules, size_t count)
{
    size_t total = count;

    for (size_t i = 0; i < count; i++) {
        if (rules[i].sni_kind == MATCH_SNI_ANY)
            continue;
        rules[total] = rules[i];
        rules[total].sni_kind = MATCH_SNI_PEEK;
        rules[total].sni = "";
        total++;
    }
    return total;
}

static bool is_same_peek(const struct match_rule *a, const struct match_rule *b)
{
    return a->sni_kind == MATCH_SNI_PEEK && b->sni_kind == MATCH_SNI_PEEK && cidr_equal(&a->block, &b->block) &&
           a->ports.first == b->ports.first && a->ports.last == b->ports.last;
}

/* One question for each block and port range, however many names it has. */
static void drop_repeated_peeks(struct route_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        if (kept > 0 && is_same_peek(&table->rules[kept - 1], &table->rules[i]))
            continue;
        table->rules[kept++] = table->rules[i];
    }
    table->count = kept;
}

static void count_ties(struct route_table *table)
{
    for (size_t i = 1; i < table->count; i++) {
        const struct match_rule *a = &table->rules[i - 1], *b = &table->rules[i];

        table->ties += a->sni_kind != MATCH_SNI_PEEK && (a->is_resolved || b->is_resolved) && match_rules_tie(a, b) &&
                       a->cluster != b->cluster && a->is_remembered == b->is_remembered;
    }
}

int route_table_new(const struct match_rule *items, size_t count, struct route_table **ret_table)
{
    struct route_table *table = calloc(1, sizeof *table + 2 * count * sizeof *table->rules);

    if (!table)
        return -ENOMEM;
    atomic_init(&table->references, 1);
    if (count > 0)
        memcpy(table->rules, items, count * sizeof *items);
    table->count = add_peeks(table->rules, count);
    qsort(table->rules, table->count, sizeof *table->rules, match_rules_compare);
    drop_repeated_peeks(table);
    count_ties(table);
    *ret_table = table;
    return 0;
}

void route_table_ref(struct route_table *table)
{
    atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
}

void route_table_unref(struct route_table *table)
{
    if (table && atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) == 1)
        free(table);
}
