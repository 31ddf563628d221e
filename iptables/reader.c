#include "iptables/reader.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "iptables/expressions.h"

#define MOST_EXPRESSION_TEXT 256

/* What register 1 holds while a rule's expressions are read in order. */
enum held { HELD_META, HELD_CT, HELD_PAYLOAD };

struct reader {
    struct rule rule;
    bool strange;
    bool ended; /* the rule has done what it does; only TPROXY's accept may follow */
    enum held held;
    uint32_t key, base, offset;
    sa_family_t family;
    uint32_t state;  /* bits of conntrack's state that are asked for; 0: none yet */
    unsigned prefix; /* of the mask, or of the whole address */
    uint8_t value[16];
    uint32_t value_length; /* of an immediate */
};

static struct match *new_match(struct reader *reader, enum match_kind kind, bool negated)
{
    static struct match nowhere;

    if (reader->rule.match_count == RULE_MOST_MATCHES) {
        reader->strange = true;
        return &nowhere;
    }
    reader->rule.matches[reader->rule.match_count] = (struct match){ .kind = kind, .negated = negated };
    return &reader->rule.matches[reader->rule.match_count++];
}

static void read_interface(struct reader *reader, enum match_kind kind, bool negated, const char *value,
                           uint32_t length)
{
    struct match *match;

    if (length > IFNAMSIZ || (length == IFNAMSIZ && value[IFNAMSIZ - 1] != '\0') || value[0] == '\0') {
        reader->strange = true;
        return;
    }
    match = new_match(reader, kind, negated);
    memset(match->interface, 0, sizeof match->interface);
    memcpy(match->interface, value, length);
    if (length < IFNAMSIZ)
        match->interface[length] = '*';
    match->interface[IFNAMSIZ - 1] = '\0';
}

static void read_meta_compare(struct reader *reader, bool negated, const void *value, uint32_t length)
{
    uint32_t number = 0;

    memcpy(&number, value, length < sizeof number ? length : sizeof number);
    switch (reader->key) {
    case NFT_META_NFPROTO:
        reader->family = (number & 0xff) == NFPROTO_IPV4 ? AF_INET : AF_INET6;
        break;
    case NFT_META_L4PROTO:
        reader->strange |= negated || (number & 0xff) != IPPROTO_TCP;
        break;
    case NFT_META_IIF:
        reader->strange |= number != if_nametoindex("lo");
        new_match(reader, MATCH_IN_LOOPBACK, negated);
        break;
    case NFT_META_OIF:
        reader->strange |= number != if_nametoindex("lo");
        new_match(reader, MATCH_OUT_LOOPBACK, negated);
        break;
    case NFT_META_IIFNAME:
        read_interface(reader, MATCH_IN_INTERFACE, negated, value, length);
        break;
    case NFT_META_OIFNAME:
        read_interface(reader, MATCH_OUT_INTERFACE, negated, value, length);
        break;
    case NFT_META_SKUID:
        new_match(reader, MATCH_UID, negated)->id = number;
        break;
    case NFT_META_SKGID:
        new_match(reader, MATCH_GID, negated)->id = number;
        break;
    case NFT_META_MARK:
        new_match(reader, MATCH_MARK, negated)->id = number;
        break;
    default:
        reader->strange = true;
        break;
    }
}

static void read_ct_compare(struct reader *reader, bool negated, const void *value, uint32_t length)
{
    uint32_t number = 0;

    memcpy(&number, value, length < sizeof number ? length : sizeof number);
    switch (reader->key) {
    case NFT_CT_MARK:
        new_match(reader, MATCH_TRACKED_MARK, negated)->id = number;
        break;
    case NFT_CT_DIRECTION:
        reader->strange |= (number & 0xff) != IP_CT_DIR_REPLY;
        new_match(reader, MATCH_REPLY, negated);
        break;
    case NFT_CT_STATE: /* a bit of the mask is set */
        reader->strange |= !negated || number != 0 || reader->state == 0;
        new_match(reader, reader->state == NF_CT_STATE_INVALID_BIT ? MATCH_INVALID : MATCH_NEW, false);
        break;
    default:
        reader->strange = true;
        break;
    }
}

static void read_port_compare(struct reader *reader, uint32_t operation, const void *value)
{
    struct rule *rule = &reader->rule;
    struct match *match;
    uint16_t port;

    reader->strange |= reader->offset != offsetof(struct tcphdr, dest) || operation == NFT_CMP_LT ||
                       operation == NFT_CMP_GT;
    memcpy(&port, value, sizeof port);
    port = ntohs(port);
    if (operation == NFT_CMP_LTE && rule->match_count > 0 && rule->matches[rule->match_count - 1].kind == MATCH_PORT) {
        rule->matches[rule->match_count - 1].ports.last = port;
        return;
    }
    match = new_match(reader, MATCH_PORT, operation == NFT_CMP_NEQ);
    match->ports.first = port;
    match->ports.last = port;
}

static void read_address_compare(struct reader *reader, bool negated, const void *value, uint32_t length)
{
    bool ipv4 = reader->family == AF_INET;
    bool source = reader->offset ==
                  (reader->family == AF_INET ? offsetof(struct iphdr, saddr) : offsetof(struct ip6_hdr, ip6_src));
    struct match *match = new_match(reader, source ? MATCH_SOURCE : MATCH_DESTINATION, negated);

    if (reader->base != NFT_PAYLOAD_NETWORK_HEADER || length != (ipv4 ? 4u : 16u) ||
        (!source && reader->offset != (ipv4 ? offsetof(struct iphdr, daddr) : offsetof(struct ip6_hdr, ip6_dst)))) {
        reader->strange = true;
        return;
    }
    match->block.family = reader->family;
    match->block.prefix = (uint8_t)reader->prefix;
    memcpy(match->block.bytes, value, length);
}

static void read_compare(struct reader *reader, struct nftnl_expr *expression)
{
    uint32_t operation = nftnl_expr_get_u32(expression, NFTNL_EXPR_CMP_OP), length = 0;
    const void *value = nftnl_expr_get(expression, NFTNL_EXPR_CMP_DATA, &length);

    if (!value || length == 0)
        reader->strange = true;
    else if (reader->held == HELD_META)
        read_meta_compare(reader, operation == NFT_CMP_NEQ, value, length);
    else if (reader->held == HELD_CT)
        read_ct_compare(reader, operation == NFT_CMP_NEQ, value, length);
    else if (reader->base == NFT_PAYLOAD_TRANSPORT_HEADER && length == sizeof(uint16_t))
        read_port_compare(reader, operation, value);
    else
        read_address_compare(reader, operation == NFT_CMP_NEQ, value, length);
}

static void read_mask(struct reader *reader, struct nftnl_expr *expression)
{
    uint32_t length = 0, state = 0;
    const uint8_t *mask = nftnl_expr_get(expression, NFTNL_EXPR_BITWISE_MASK, &length);

    reader->prefix = 0;
    for (uint32_t i = 0; mask && i < length; i++)
        reader->prefix += (unsigned)__builtin_popcount(mask[i]);
    if (reader->held == HELD_CT) {
        if (mask)
            memcpy(&state, mask, length < sizeof state ? length : sizeof state);
        reader->state = state;
        reader->strange |= reader->key != NFT_CT_STATE ||
                           (state != NF_CT_STATE_INVALID_BIT && state != NF_CT_STATE_BIT(IP_CT_NEW));
    }
}

static void end_rule(struct reader *reader, enum verdict verdict)
{
    reader->strange |= reader->ended;
    reader->ended = true;
    reader->rule.verdict = verdict;
}

static void read_verdict(struct reader *reader, int verdict)
{
    if (reader->ended && reader->rule.verdict == VERDICT_TPROXY && verdict == NF_ACCEPT)
        return;
    if (verdict == NFT_RETURN)
        end_rule(reader, VERDICT_RETURN);
    else if (verdict == NF_DROP)
        end_rule(reader, VERDICT_DROP);
    else
        reader->strange = true;
}

static void read_immediate(struct reader *reader, struct nftnl_expr *expression)
{
    uint32_t length = 0;
    const void *value;

    if (nftnl_expr_get_u32(expression, NFTNL_EXPR_IMM_DREG) == NFT_REG_VERDICT) {
        read_verdict(reader, (int)nftnl_expr_get_u32(expression, NFTNL_EXPR_IMM_VERDICT));
        return;
    }
    value = nftnl_expr_get(expression, NFTNL_EXPR_IMM_DATA, &length);
    reader->value_length = value && length <= sizeof reader->value ? length : 0;
    if (reader->value_length > 0)
        memcpy(reader->value, value, length);
}

static uint16_t held_port(struct reader *reader)
{
    uint16_t port = 0;

    reader->strange |= reader->value_length < sizeof port;
    memcpy(&port, reader->value, sizeof port);
    return ntohs(port);
}

static void read_set_mark(struct reader *reader, bool is_mark, enum verdict verdict)
{
    uint32_t mark = 0;

    memcpy(&mark, reader->value, sizeof mark);
    reader->strange |= !is_mark || reader->value_length < sizeof mark;
    if (reader->ended && reader->rule.verdict == VERDICT_TPROXY && verdict == VERDICT_SAVE_MARK) {
        reader->strange |= mark != ruleset_taken_mark(reader->rule.mark);
        return;
    }
    reader->rule.mark = mark;
    if (!(reader->ended && reader->rule.verdict == VERDICT_TPROXY))
        end_rule(reader, verdict);
}

static void read_meta(struct reader *reader, struct nftnl_expr *expression)
{
    uint32_t key = nftnl_expr_get_u32(expression, NFTNL_EXPR_META_KEY);

    if (nftnl_expr_is_set(expression, NFTNL_EXPR_META_SREG)) {
        read_set_mark(reader, key == NFT_META_MARK, VERDICT_SET_MARK);
        return;
    }
    reader->held = HELD_META;
    reader->key = key;
}

static void read_ct(struct reader *reader, struct nftnl_expr *expression)
{
    uint32_t key = nftnl_expr_get_u32(expression, NFTNL_EXPR_CT_KEY);

    if (nftnl_expr_is_set(expression, NFTNL_EXPR_CT_SREG)) {
        read_set_mark(reader, key == NFT_CT_MARK, VERDICT_SAVE_MARK);
        return;
    }
    reader->held = HELD_CT;
    reader->key = key;
    reader->state = 0;
}

static void read_payload(struct reader *reader, struct nftnl_expr *expression)
{
    reader->held = HELD_PAYLOAD;
    reader->base = nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_BASE);
    reader->offset = nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_OFFSET);
    reader->prefix = nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_LEN) * 8;
}

static int read_expression(struct nftnl_expr *expression, void *argument)
{
    const char *name = nftnl_expr_get_str(expression, NFTNL_EXPR_NAME);
    struct reader *reader = argument;

    if (strcmp(name, "meta") == 0)
        read_meta(reader, expression);
    else if (strcmp(name, "ct") == 0)
        read_ct(reader, expression);
    else if (strcmp(name, "payload") == 0)
        read_payload(reader, expression);
    else if (strcmp(name, "cmp") == 0)
        read_compare(reader, expression);
    else if (strcmp(name, "bitwise") == 0)
        read_mask(reader, expression);
    else if (strcmp(name, "immediate") == 0)
        read_immediate(reader, expression);
    else if (strcmp(name, "counter") == 0) {
        reader->rule.packets = nftnl_expr_get_u64(expression, NFTNL_EXPR_CTR_PACKETS);
        reader->rule.bytes = nftnl_expr_get_u64(expression, NFTNL_EXPR_CTR_BYTES);
    } else if (strcmp(name, "redir") == 0) {
        reader->rule.port = held_port(reader);
        end_rule(reader, VERDICT_REDIRECT);
    } else if (strcmp(name, "reject") == 0) {
        reader->strange |= nftnl_expr_get_u32(expression, NFTNL_EXPR_REJECT_TYPE) != NFT_REJECT_TCP_RST;
        end_rule(reader, VERDICT_RESET);
    } else if (strcmp(name, "tproxy") == 0) {
        reader->rule.port = held_port(reader);
        end_rule(reader, VERDICT_TPROXY);
    } else
        reader->strange = true;
    return MNL_CB_OK;
}

/*
 * The comment among a rule's user data: entries of type, length and value. libnftnl's own parser trusts the lengths,
 * which are whatever the rule's author wrote. Returns whether there is one that fits.
 */
static bool read_reason(const uint8_t *data, uint32_t length, struct rule *rule)
{
    while (length >= 2 && (uint32_t)data[1] + 2 <= length) {
        if (data[0] == NFTNL_UDATA_RULE_COMMENT) {
            snprintf(rule->reason, sizeof rule->reason, "%.*s", data[1], (const char *)data + 2);
            return data[1] > 0 && data[1] <= sizeof rule->reason && rule->reason[0] != '\0';
        }
        length -= (uint32_t)data[1] + 2;
        data += data[1] + 2;
    }
    return false;
}

static bool is_same_expression(struct nftnl_expr *a, struct nftnl_expr *b)
{
    char a_text[MOST_EXPRESSION_TEXT] = "", b_text[MOST_EXPRESSION_TEXT] = "";
    const char *name = nftnl_expr_get_str(a, NFTNL_EXPR_NAME);

    if (strcmp(name, nftnl_expr_get_str(b, NFTNL_EXPR_NAME)) != 0)
        return false;
    if (strcmp(name, "counter") == 0)
        return true;
    nftnl_expr_snprintf(a_text, sizeof a_text, a, NFTNL_OUTPUT_DEFAULT, 0);
    nftnl_expr_snprintf(b_text, sizeof b_text, b, NFTNL_OUTPUT_DEFAULT, 0);
    return strcmp(a_text, b_text) == 0;
}

static bool are_same_expressions(const struct nftnl_rule *a, const struct nftnl_rule *b)
{
    struct nftnl_expr_iter *a_all = nftnl_expr_iter_create(a), *b_all = nftnl_expr_iter_create(b);
    struct nftnl_expr *a_one = NULL, *b_one = NULL;
    bool same = a_all && b_all;

    while (same) {
        a_one = nftnl_expr_iter_next(a_all);
        b_one = nftnl_expr_iter_next(b_all);
        if (!a_one || !b_one)
            break;
        same = is_same_expression(a_one, b_one);
    }
    if (a_all)
        nftnl_expr_iter_destroy(a_all);
    if (b_all)
        nftnl_expr_iter_destroy(b_all);
    return same && !a_one && !b_one;
}

/* Whether what was read is all that is there: made again, it must be the same. */
static bool is_whole(const struct nftnl_rule *encoded, const struct rule *rule)
{
    struct nftnl_rule *again = nftnl_rule_alloc();
    bool same = again && expressions_fill(again, rule) == 0 && are_same_expressions(encoded, again);

    nftnl_rule_free(again);
    return same;
}

bool reader_read(const struct nftnl_rule *encoded, struct rule *ret_rule)
{
    struct reader reader = { .rule.chain = ret_rule->chain };
    uint32_t length = 0;
    const void *comment;

    nftnl_expr_foreach((struct nftnl_rule *)(uintptr_t)encoded, read_expression, &reader);
    comment = nftnl_rule_get_data(encoded, NFTNL_RULE_USERDATA, &length);
    if (reader.strange || !reader.ended || !comment || !read_reason(comment, length, &reader.rule) ||
        !is_whole(encoded, &reader.rule))
        return false;
    *ret_rule = reader.rule;
    return true;
}
