#include "iptables/encode.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "iptables/netlink.h"

/* A rule has at most about twenty expressions of at most 64 bytes, and its comment. */
#define MOST_RULE_BYTES  4096
#define MOST_BATCH_BYTES ((size_t)(RULESET_MOST_RULES + 16) * MOST_RULE_BYTES)

#define PRIORITY_DSTNAT (-100) /* NF_IP_PRI_NAT_DST */

struct batch {
    char *bytes;
    size_t length;
    uint32_t next_seq;
    struct nlmsghdr *last;         /* the only one that is acknowledged */
    const struct ruleset *ruleset; /* NULL when the table is removed */
    uint32_t first_rule_seq;
};

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

static int add_return(struct nftnl_rule *rule)
{
    struct nftnl_expr *expression = nftnl_expr_alloc("immediate");

    if (expression) {
        nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
        nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_RETURN);
    }
    return add(rule, expression);
}

static int add_redirect(struct nftnl_rule *rule, uint16_t port)
{
    struct nftnl_expr *value = nftnl_expr_alloc("immediate"), *redirect;
    uint16_t network_port = htons(port);

    if (value) {
        nftnl_expr_set_u32(value, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
        nftnl_expr_set(value, NFTNL_EXPR_IMM_DATA, &network_port, sizeof network_port);
    }
    if (add(rule, value) < 0)
        return -ENOMEM;
    redirect = nftnl_expr_alloc("redir");
    if (redirect) {
        nftnl_expr_set_u32(redirect, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
        nftnl_expr_set_u32(redirect, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
    }
    return add(rule, redirect);
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
        return add_compare(rule, NFT_CMP_EQ, &first, sizeof first);
    r = add_compare(rule, NFT_CMP_GTE, &first, sizeof first);
    return r < 0 ? r : add_compare(rule, NFT_CMP_LTE, &last, sizeof last);
}

static int add_match(struct nftnl_rule *rule, const struct match *match)
{
    switch (match->kind) {
    case MATCH_OUT_LOOPBACK:
        return add_u32_match(rule, NFT_META_OIF, match, if_nametoindex("lo"));
    case MATCH_UID:
        return add_u32_match(rule, NFT_META_SKUID, match, match->id);
    case MATCH_GID:
        return add_u32_match(rule, NFT_META_SKGID, match, match->id);
    case MATCH_SOURCE:
    case MATCH_DESTINATION:
        return add_block_match(rule, match);
    case MATCH_PORT:
        return add_port_match(rule, match);
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

static int fill_rule(struct nftnl_rule *encoded, const struct rule *rule)
{
    int r = 0;
    bool tcp_is_asked = false;

    nftnl_rule_set_u32(encoded, NFTNL_RULE_FAMILY, NFPROTO_INET);
    nftnl_rule_set_str(encoded, NFTNL_RULE_TABLE, RULESET_TABLE);
    nftnl_rule_set_str(encoded, NFTNL_RULE_CHAIN, ruleset_chain_name(rule->chain));
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
        r = rule->verdict == VERDICT_REDIRECT ? add_redirect(encoded, rule->port) : add_return(encoded);
    return r < 0 ? r : set_reason(encoded, rule->reason);
}

/* The batch. */

static struct nlmsghdr *begin_message(struct batch *batch, uint16_t type, uint16_t flags)
{
    return nftnl_nlmsg_build_hdr(batch->bytes + batch->length, type, NFPROTO_INET, flags, batch->next_seq++);
}

static void end_message(struct batch *batch, struct nlmsghdr *message)
{
    batch->last = message;
    batch->length += MNL_ALIGN(message->nlmsg_len);
}

static int put_table(struct batch *batch, uint16_t type, uint16_t flags)
{
    struct nftnl_table *table = nftnl_table_alloc();
    struct nlmsghdr *message;

    if (!table)
        return -ENOMEM;
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
    nftnl_table_set_str(table, NFTNL_TABLE_NAME, RULESET_TABLE);
    message = begin_message(batch, type, flags);
    nftnl_table_nlmsg_build_payload(message, table);
    end_message(batch, message);
    nftnl_table_free(table);
    return 0;
}

static int put_chain(struct batch *batch, enum chain which)
{
    struct nftnl_chain *chain = nftnl_chain_alloc();
    struct nlmsghdr *message;

    if (!chain)
        return -ENOMEM;
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, RULESET_TABLE);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, ruleset_chain_name(which));
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "nat");
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, which == CHAIN_OUTBOUND ? NF_INET_LOCAL_OUT : NF_INET_PRE_ROUTING);
    nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, PRIORITY_DSTNAT);
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
    message = begin_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    nftnl_chain_nlmsg_build_payload(message, chain);
    end_message(batch, message);
    nftnl_chain_free(chain);
    return 0;
}

static int put_rule(struct batch *batch, const struct rule *rule)
{
    struct nftnl_rule *encoded = nftnl_rule_alloc();
    struct nlmsghdr *message;
    int r;

    if (!encoded)
        return -ENOMEM;
    r = fill_rule(encoded, rule);
    if (r == 0) {
        message = begin_message(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
        nftnl_rule_nlmsg_build_payload(message, encoded);
        end_message(batch, message);
    }
    nftnl_rule_free(encoded);
    return r;
}

/* Adds the table so that there is one to delete, deletes it, and makes it anew: all of it, or nothing, takes effect. */
static int put_everything(struct batch *batch)
{
    int r = put_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);

    if (r == 0)
        r = put_table(batch, NFT_MSG_DELTABLE, 0);
    if (r < 0 || !batch->ruleset)
        return r;
    r = put_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    for (enum chain chain = 0; r == 0 && chain < CHAIN_COUNT; chain++) {
        if (ruleset_has_chain(batch->ruleset, chain))
            r = put_chain(batch, chain);
    }
    batch->first_rule_seq = batch->next_seq;
    for (size_t i = 0; r == 0 && i < batch->ruleset->count; i++)
        r = put_rule(batch, &batch->ruleset->rules[i]);
    return r;
}

static void describe_refusal(const struct batch *batch, uint32_t seq, int error, char *problem)
{
    const char *hint = "";

    if (error == -EPERM)
        hint = "; NET_ADMIN in this network namespace is needed";
    else if (error == -EMSGSIZE)
        hint = "; the lists make more rules than fit into one message here: write ranges and larger blocks";
    else if (error == -ENOBUFS || error == -ETIMEDOUT)
        hint = "; the answer was lost, so it is not known whether the rules are in force: run it again";
    else if (error == -ENOENT || error == -EOPNOTSUPP || error == -EAFNOSUPPORT)
        hint = "; the kernel needs nf_tables with NAT for family inet (5.2 or later, module nft_chain_nat, nft_redir)";
    if (batch->ruleset && seq >= batch->first_rule_seq && seq - batch->first_rule_seq < batch->ruleset->count)
        snprintf(problem, ENCODE_PROBLEM_SIZE, "rule %u (%.64s) was refused: %s%s", seq - batch->first_rule_seq + 1,
                 batch->ruleset->rules[seq - batch->first_rule_seq].reason, strerror(-error), hint);
    else
        snprintf(problem, ENCODE_PROBLEM_SIZE, "the kernel refused the table: %s%s", strerror(-error), hint);
}

static int commit(const struct ruleset *ruleset, char *problem)
{
    struct batch batch = { .next_seq = 1, .ruleset = ruleset };
    struct mnl_socket *socket = NULL;
    uint32_t failed;
    int r;

    batch.bytes = malloc(MOST_BATCH_BYTES);
    r = batch.bytes ? netlink_open(NETLINK_NETFILTER, &socket) : -ENOMEM;
    if (r < 0) {
        snprintf(problem, ENCODE_PROBLEM_SIZE, "no netlink socket: %s", strerror(-r));
        goto out;
    }
    batch.length += MNL_ALIGN(nftnl_batch_begin(batch.bytes, batch.next_seq++)->nlmsg_len);
    r = put_everything(&batch);
    if (r < 0) {
        snprintf(problem, ENCODE_PROBLEM_SIZE, "the rules could not be encoded: %s", strerror(-r));
        goto out;
    }
    batch.last->nlmsg_flags |= NLM_F_ACK;
    batch.length += MNL_ALIGN(nftnl_batch_end(batch.bytes + batch.length, batch.next_seq++)->nlmsg_len);
    r = netlink_transact(socket, batch.bytes, batch.length, batch.last->nlmsg_seq, &failed);
    if (r < 0)
        describe_refusal(&batch, failed, r, problem);
out:
    if (socket)
        mnl_socket_close(socket);
    free(batch.bytes);
    return r;
}

int encode_apply(const struct ruleset *ruleset, char *problem)
{
    return commit(ruleset, problem);
}

int encode_remove(char *problem)
{
    return commit(NULL, problem);
}
