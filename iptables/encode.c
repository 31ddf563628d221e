#include "iptables/encode.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iptables/decode.h"
#include "iptables/expressions.h"
#include "iptables/netlink.h"

/* A rule has at most about twenty expressions of at most 64 bytes, and its comment. */
#define MOST_RULE_BYTES  4096
#define MOST_BATCH_BYTES ((size_t)(RULESET_MOST_RULES + 16) * MOST_RULE_BYTES)

struct batch {
    char *bytes;
    size_t length;
    uint32_t next_seq;
    struct nlmsghdr *last;            /* the only one that is acknowledged */
    const struct ruleset *ruleset;    /* NULL when the table is removed */
    uint32_t chain_seqs[CHAIN_COUNT]; /* 0: there is none */
    uint32_t first_rule_seq;
};

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
    const struct chain_place *place = ruleset_chain_place(which);
    struct nftnl_chain *chain = nftnl_chain_alloc();
    struct nlmsghdr *message;

    if (!chain)
        return -ENOMEM;
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, RULESET_TABLE);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, place->name);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, place->type);
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, place->hook);
    nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, place->priority);
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
    batch->chain_seqs[which] = batch->next_seq;
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
    r = expressions_fill(encoded, rule);
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

static bool asks_conntrack(const struct rule *rule)
{
    for (size_t i = 0; i < rule->match_count; i++) {
        enum match_kind kind = rule->matches[i].kind;

        if (kind == MATCH_TRACKED_MARK || kind == MATCH_REPLY || kind == MATCH_INVALID)
            return true;
    }
    return rule->verdict == VERDICT_SAVE_MARK;
}

/* What the kernel lacks when it does not know a rule's expressions. */
static const char *needed_for(const struct rule *rule)
{
    if (rule->verdict == VERDICT_TPROXY)
        return "; the kernel needs modules nft_tproxy and nft_ct; without them --mode redirect";
    if (asks_conntrack(rule))
        return "; the kernel needs module nft_ct; without it --mode redirect --drop-invalid=off";
    if (rule->verdict == VERDICT_RESET)
        return "; the kernel needs module nft_reject_inet; without it --mode redirect";
    if (rule->verdict == VERDICT_REDIRECT)
        return "; the kernel needs NAT for family inet: 5.2 or later, modules nft_chain_nat and nft_redir";
    return "; the kernel needs nf_tables with counters: 5.2 or later";
}

static const char *needed_for_chain(enum chain chain)
{
    return strcmp(ruleset_chain_place(chain)->type, "nat") == 0
               ? "; the kernel needs NAT for family inet: 5.2 or later, module nft_chain_nat"
               : "; the kernel needs nf_tables with chains of family inet: 5.2 or later";
}

static bool lacks_something(int error)
{
    return error == -ENOENT || error == -EOPNOTSUPP || error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT;
}

static const char *hint_for(int error, const char *needed)
{
    if (error == -EPERM)
        return "; NET_ADMIN in this network namespace is needed";
    if (error == -EMSGSIZE)
        return "; the lists make more rules than fit into one message here: write ranges and larger blocks";
    if (error == -ENOBUFS || error == -ETIMEDOUT)
        return "; the answer was lost, and the rules could not be read back: it is not known whether they are in "
               "force; run it again";
    return lacks_something(error) ? needed : "";
}

static void describe_refusal(const struct batch *batch, uint32_t seq, int error, char *problem)
{
    if (batch->ruleset && seq >= batch->first_rule_seq && seq - batch->first_rule_seq < batch->ruleset->count) {
        const struct rule *rule = &batch->ruleset->rules[seq - batch->first_rule_seq];

        snprintf(problem, ENCODE_PROBLEM_SIZE, "rule %u (%.64s) was refused: %s%s", seq - batch->first_rule_seq + 1,
                 rule->reason, strerror(-error), hint_for(error, needed_for(rule)));
        return;
    }
    for (enum chain chain = 0; seq != 0 && chain < CHAIN_COUNT; chain++) {
        if (batch->chain_seqs[chain] == seq) {
            snprintf(problem, ENCODE_PROBLEM_SIZE, "chain %s was refused: %s%s", ruleset_chain_place(chain)->name,
                     strerror(-error), hint_for(error, needed_for_chain(chain)));
            return;
        }
    }
    snprintf(problem, ENCODE_PROBLEM_SIZE, "the kernel refused the table: %s%s", strerror(-error),
             hint_for(error, "; the kernel needs nf_tables: 5.2 or later, module nf_tables"));
}

/*
 * The kernel has taken the batch or refused it, but its answer did not arrive: what it has now tells.
 * Returns 0 when that is what the batch was for, or `error`.
 */
static int read_back(const struct ruleset *ruleset, int error)
{
    struct ruleset found = { 0 };
    unsigned strange;
    int r = decode_read(&found, &strange);
    bool in_force = ruleset ? r == 0 && strange == 0 && ruleset_equal(&found, ruleset) : r == -ENOENT;

    ruleset_done(&found);
    return in_force ? 0 : error;
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
    if (r == -ENOBUFS || r == -ETIMEDOUT)
        r = read_back(ruleset, r);
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
