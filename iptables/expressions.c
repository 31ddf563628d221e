#include "iptables/expressions.h"

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
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <string.h>

/* One function for each nf_tables expression. Each returns 0 or -ENOMEM. */

static int add(struct nftnl_rule *rule, struct nftnl_expr *expression)
{
    if (!expression)
        return -ENOMEM;
    nftnl_rule_add_expr(rule, expression);
    return 0;
}

static int add_meta(struct nftnl_rule *rule, uint32_t key)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("meta");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_META_KEY, key);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_META_DREG, NFT_REG_1);
    }
    return add(rule, expression);
}

static int add_ct(struct nftnl_rule *rule, uint32_t key)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("ct");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_KEY, key);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_DREG, NFT_REG_1);
    }
    return add(rule, expression);
}

static int add_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t length)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("payload");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_BASE, base);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_LEN, length);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
    }
    return add(rule, expression);
}

static int add_compare(struct nftnl_rule *rule, uint32_t operation, const void *value, uint32_t length)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("cmp");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CMP_OP, operation);
        nftnl_expr_set(expression, NFTNL_EXPR_CMP_DATA, value, length);
    }
    return add(rule, expression);
}

static int add_mask(struct nftnl_rule *rule, const uint8_t *mask, uint32_t length)
{
    static const uint8_t nothing[16];
    struct nftnl_expr *expression = nftnl_expr_alloc("bitwise");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_LEN, length);
        nftnl_expr_set(expression, NFTNL_EXPR_BITWISE_MASK, mask, length);
        nftnl_expr_set(expression, NFTNL_EXPR_BITWISE_XOR, nothing, length);
    }
    return add(rule, expression);
}

static int add_counter(struct nftnl_rule *rule)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("counter");

    if (expression) {
        nftnl_expr_set_u64(expression, NFTNL_EXPR_CTR_PACKETS, 0);
        nftnl_expr_set_u64(expression, NFTNL_EXPR_CTR_BYTES, 0);
    }
    return add(rule, expression);
}

static int add_verdict(struct nftnl_rule *rule, int verdict)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("immediate");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
    }
    return add(rule, expression);
}

static int add_value(struct nftnl_rule *rule, const void *value, uint32_t length)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("immediate");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
        nftnl_expr_set(expression, NFTNL_EXPR_IMM_DATA, value, length);
    }
    return add(rule, expression);
}

static int add_redirect(struct nftnl_rule *rule, uint16_t port)
{
    uint16_t network_port = htons(port);
    struct nftnl_expr *redirect;

    if (add_value(rule, &network_port, sizeof network_port) < 0)
        return -ENOMEM;
    redirect = nftnl_expr_alloc("redir");
    if (redirect) {
        nftnl_expr_set_u32(redirect, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
        nftnl_expr_set_u32(redirect, NFTNL_EXPR_REDIR_REG_PROTO_MAX, NFT_REG_1); /* as the kernel tells it */
        nftnl_expr_set_u32(redirect, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
    }
    return add(rule, redirect);
}

static int add_set_mark(struct nftnl_rule *rule, uint32_t mark)
{
    struct nftnl_expr *expression;

    if (add_value(rule, &mark, sizeof mark) < 0)
        return -ENOMEM;
    expression = nftnl_expr_alloc("meta");
    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_META_KEY, NFT_META_MARK);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_META_SREG, NFT_REG_1);
    }
    return add(rule, expression);
}

static int add_save_mark(struct nftnl_rule *rule, uint32_t mark)
{
    struct nftnl_expr *expression;

    if (add_value(rule, &mark, sizeof mark) < 0)
        return -ENOMEM;
    expression = nftnl_expr_alloc("ct");
    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_SREG, NFT_REG_1);
    }
    return add(rule, expression);
}

static int add_tproxy(struct nftnl_rule *rule, uint16_t port, uint32_t mark)
{
    uint16_t network_port = htons(port);
    struct nftnl_expr *tproxy;
    int r;

    if (add_value(rule, &network_port, sizeof network_port) < 0)
        return -ENOMEM;
    tproxy = nftnl_expr_alloc("tproxy");
    if (tproxy) {
        nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_FAMILY, NFPROTO_UNSPEC); /* both */
        nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
    }
    r = add(rule, tproxy);
    if (r == 0)
        r = add_set_mark(rule, mark);
    if (r == 0)
        r = add_save_mark(rule, ruleset_taken_mark(mark));
    return r < 0 ? r : add_verdict(rule, NF_ACCEPT);
}

static int add_reset(struct nftnl_rule *rule)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("reject");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
        nftnl_expr_set_u8(expression, NFTNL_EXPR_REJECT_CODE, 0);
    }
    return add(rule, expression);
}

static int add_action(struct nftnl_rule *encoded, const struct rule *rule)
{
    switch (rule->verdict) {
    case VERDICT_RETURN:
        return add_verdict(encoded, NFT_RETURN);
    case VERDICT_REDIRECT:
        return add_redirect(encoded, rule->port);
    case VERDICT_TPROXY:
        return add_tproxy(encoded, rule->port, rule->mark);
    case VERDICT_SET_MARK:
        return add_set_mark(encoded, rule->mark);
    case VERDICT_SAVE_MARK:
        return add_save_mark(encoded, rule->mark);
    case VERDICT_DROP:
        return add_verdict(encoded, NF_DROP);
    case VERDICT_RESET:
        return add_reset(encoded);
    }
    return -EINVAL;
}

/* The matches, in the words of nft(8). */

static uint32_t equality(const struct match *match)
{
    return match->negated ? NFT_CMP_NEQ : NFT_CMP_EQ;
}

static int add_u32_match(struct nftnl_rule *rule, uint32_t key, const struct match *match, uint32_t value)
{
    int r = add_meta(rule, key);

    return r < 0 ? r : add_compare(rule, equality(match), &value, sizeof value);
}

static int add_block_match(struct nftnl_rule *rule, const struct match *match)
{
    bool ipv4 = match->block.family == AF_INET, source = match->kind == MATCH_SOURCE;
    uint8_t family = ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6, mask[16] = { 0 };
    uint32_t length = cidr_address_length(&match->block);
    size_t offset = ipv4 ? (source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr))
                         : (source ? offsetof(struct ip6_hdr, ip6_src) : offsetof(struct ip6_hdr, ip6_dst));
    int r;

    r = add_meta(rule, NFT_META_NFPROTO);
    if (r == 0)
        r = add_compare(rule, NFT_CMP_EQ, &family, sizeof family);
    if (r == 0)
        r = add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, (uint32_t)offset, length);
    if (r == 0 && match->block.prefix < length * 8) {
        for (unsigned bit = 0; bit < match->block.prefix; bit++)
            mask[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
        r = add_mask(rule, mask, length);
    }
    return r < 0 ? r : add_compare(rule, equality(match), match->block.bytes, length);
}

static int add_tcp(struct nftnl_rule *rule)
{
    uint8_t tcp = IPPROTO_TCP;
    int r = add_meta(rule, NFT_META_L4PROTO);

    return r < 0 ? r : add_compare(rule, NFT_CMP_EQ, &tcp, sizeof tcp);
}

static int add_port_match(struct nftnl_rule *rule, const struct match *match)
{
    uint16_t first = htons(match->ports.first), last = htons(match->ports.last);
    int r = add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, dest), sizeof first);

    if (r < 0)
        return r;
    if (first == last)
        return add_compare(rule, equality(match), &first, sizeof first);
    if (match->negated)
        return -EINVAL;
    r = add_compare(rule, NFT_CMP_GTE, &first, sizeof first);
    return r < 0 ? r : add_compare(rule, NFT_CMP_LTE, &last, sizeof last);
}

/* A last `*` leaves the rest of the name uncompared. */
static int add_interface_match(struct nftnl_rule *rule, uint32_t key, const struct match *match)
{
    char name[IFNAMSIZ] = { 0 };
    size_t length = strlen(match->interface);
    bool whole = match->interface[length - 1] != '*';
    int r = add_meta(rule, key);

    memcpy(name, match->interface, whole ? length : length - 1);
    return r < 0 ? r : add_compare(rule, equality(match), name, whole ? sizeof name : (uint32_t)length - 1);
}

static int add_mark_match(struct nftnl_rule *rule, const struct match *match)
{
    int r = match->kind == MATCH_MARK ? add_meta(rule, NFT_META_MARK) : add_ct(rule, NFT_CT_MARK);

    return r < 0 ? r : add_compare(rule, equality(match), &match->id, sizeof match->id);
}

static int add_reply_match(struct nftnl_rule *rule, const struct match *match)
{
    uint8_t reply = IP_CT_DIR_REPLY;
    int r = add_ct(rule, NFT_CT_DIRECTION);

    return r < 0 ? r : add_compare(rule, equality(match), &reply, sizeof reply);
}

static int add_state_match(struct nftnl_rule *rule, uint32_t state)
{
    uint32_t nothing = 0;
    int r = add_ct(rule, NFT_CT_STATE);

    if (r == 0)
        r = add_mask(rule, (const uint8_t *)&state, sizeof state);
    return r < 0 ? r : add_compare(rule, NFT_CMP_NEQ, &nothing, sizeof nothing);
}

static int add_match(struct nftnl_rule *rule, const struct match *match)
{
    switch (match->kind) {
    case MATCH_IN_LOOPBACK:
        return add_u32_match(rule, NFT_META_IIF, match, if_nametoindex("lo"));
    case MATCH_OUT_LOOPBACK:
        return add_u32_match(rule, NFT_META_OIF, match, if_nametoindex("lo"));
    case MATCH_IN_INTERFACE:
        return add_interface_match(rule, NFT_META_IIFNAME, match);
    case MATCH_OUT_INTERFACE:
        return add_interface_match(rule, NFT_META_OIFNAME, match);
    case MATCH_UID:
        return add_u32_match(rule, NFT_META_SKUID, match, match->id);
    case MATCH_GID:
        return add_u32_match(rule, NFT_META_SKGID, match, match->id);
    case MATCH_SOURCE:
    case MATCH_DESTINATION:
        return add_block_match(rule, match);
    case MATCH_PORT:
        return add_port_match(rule, match);
    case MATCH_MARK:
    case MATCH_TRACKED_MARK:
        return add_mark_match(rule, match);
    case MATCH_REPLY:
        return add_reply_match(rule, match);
    case MATCH_NEW:
        return match->negated ? -EINVAL : add_state_match(rule, NF_CT_STATE_BIT(IP_CT_NEW));
    case MATCH_INVALID:
        return match->negated ? -EINVAL : add_state_match(rule, NF_CT_STATE_INVALID_BIT);
    }
    return -EINVAL;
}

static int set_reason(struct nftnl_rule *rule, const char *reason)
{
    struct nftnl_udata_buf *buffer = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
    int r = -ENOMEM;

    if (!buffer)
        return r;
    if (nftnl_udata_put_strz(buffer, NFTNL_UDATA_RULE_COMMENT, reason)) {
        nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(buffer), nftnl_udata_buf_len(buffer));
        r = 0;
    }
    nftnl_udata_buf_free(buffer);
    return r;
}

int expressions_fill(struct nftnl_rule *encoded, const struct rule *rule)
{
    int r = 0;
    bool tcp_is_asked = false;

    nftnl_rule_set_u32(encoded, NFTNL_RULE_FAMILY, NFPROTO_INET);
    nftnl_rule_set_str(encoded, NFTNL_RULE_TABLE, RULESET_TABLE);
    nftnl_rule_set_str(encoded, NFTNL_RULE_CHAIN, ruleset_chain_place(rule->chain)->name);
    for (size_t i = 0; r == 0 && i < rule->match_count; i++) {
        if (rule->matches[i].kind == MATCH_PORT && !tcp_is_asked) {
            r = add_tcp(encoded);
            tcp_is_asked = true;
        }
        if (r == 0)
            r = add_match(encoded, &rule->matches[i]);
    }
    if (r == 0 && !tcp_is_asked)
        r = add_tcp(encoded);
    if (r == 0)
        r = add_counter(encoded);
    if (r == 0)
        r = add_action(encoded, rule);
    return r < 0 ? r : set_reason(encoded, rule->reason);
}
