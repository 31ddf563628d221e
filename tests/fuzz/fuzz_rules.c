/*
 * Whatever rules the kernel's table holds, reading them stays within bounds. libnftnl ends the process on attributes
 * that the kernel never sends, so the input chooses expressions and their values, and libnftnl makes the message.
 */
#include "tests/fuzz/fuzz.h"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "iptables/decode.h"
#include "iptables/expressions.h"

#define MOST_EXPRESSIONS 32

struct input {
    const uint8_t *bytes;
    size_t left;
};

static uint32_t take(struct input *input, uint32_t below)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->bytes++ % below;
}

static const void *take_value(struct input *input, uint8_t *value, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        value[i] = (uint8_t)take(input, 256);
    return value;
}

static struct nftnl_expr *take_expression(struct input *input)
{
    static const char *const names[] = { "meta", "payload", "cmp",   "bitwise", "immediate",
                                         "ct",   "tproxy",  "redir", "counter" };
    struct nftnl_expr *expression;
    uint32_t which = take(input, ARRAY_SIZE(names)), length;
    uint8_t value[16], mask[16];

    expression = nftnl_expr_alloc(names[which]);
    switch (which) {
    case 0:
        nftnl_expr_set_u32(expression, NFTNL_EXPR_META_KEY, take(input, 32));
        nftnl_expr_set_u32(expression, take(input, 4) ? NFTNL_EXPR_META_DREG : NFTNL_EXPR_META_SREG, NFT_REG_1);
        break;
    case 1:
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_BASE, take(input, 3));
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_OFFSET, take(input, 64));
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_LEN, take(input, 17));
        nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
        break;
    case 2:
        length = 1 + take(input, 16);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CMP_OP, take(input, 6));
        nftnl_expr_set(expression, NFTNL_EXPR_CMP_DATA, take_value(input, value, length), length);
        break;
    case 3:
        length = 1 + take(input, 16);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_LEN, length);
        nftnl_expr_set(expression, NFTNL_EXPR_BITWISE_MASK, take_value(input, mask, length), length);
        nftnl_expr_set(expression, NFTNL_EXPR_BITWISE_XOR, take_value(input, value, length), length);
        break;
    case 4:
        if (take(input, 2)) {
            nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
            nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_VERDICT,
                               (uint32_t)(take(input, 2) ? NFT_RETURN : (int)take(input, 2)));
        } else {
            length = 1 + take(input, 16);
            nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
            nftnl_expr_set(expression, NFTNL_EXPR_IMM_DATA, take_value(input, value, length), length);
        }
        break;
    case 5:
        nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_KEY, take(input, 16));
        nftnl_expr_set_u32(expression, take(input, 4) ? NFTNL_EXPR_CT_DREG : NFTNL_EXPR_CT_SREG, NFT_REG_1);
        break;
    case 6:
        nftnl_expr_set_u32(expression, NFTNL_EXPR_TPROXY_FAMILY, take(input, 16));
        nftnl_expr_set_u32(expression, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
        break;
    default:
        break;
    }
    return expression;
}

static void fill_rule(struct nftnl_rule *rule, struct input *input)
{
    static const char *const chains[] = { "inbound", "outbound", "inbound_tproxy", "other" };
    uint8_t comment[255];
    uint32_t length = 1 + take(input, 255);

    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, RULESET_TABLE);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chains[take(input, ARRAY_SIZE(chains))]);
    nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, take_value(input, comment, length), length);
    for (int i = 0; i < MOST_EXPRESSIONS && input->left > 0; i++)
        nftnl_rule_add_expr(rule, take_expression(input));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static char buffer[64 * 1024];
    struct input input = { bytes, length };
    struct ruleset ruleset = { 0 };
    struct nftnl_rule *rule = nftnl_rule_alloc();
    struct nlmsghdr *message;
    unsigned strange = 0;

    fill_rule(rule, &input);
    message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWRULE, NFPROTO_INET, 0, 1);
    nftnl_rule_nlmsg_build_payload(message, rule);
    nftnl_rule_free(rule);
    if (decode_message(message, &ruleset, &strange) < 0 || ruleset.count + strange != 1)
        abort();
    for (size_t i = 0; i < ruleset.count; i++) { /* what is taken for ours can be made again */
        struct nftnl_rule *again = nftnl_rule_alloc();

        if (expressions_fill(again, &ruleset.rules[i]) < 0)
            abort();
        nftnl_rule_free(again);
        if (ruleset.rules[i].match_count > RULE_MOST_MATCHES ||
            !memchr(ruleset.rules[i].reason, '\0', RULE_REASON_SIZE))
            abort();
    }
    ruleset_done(&ruleset);
    return 0;
}
