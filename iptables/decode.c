#include "iptables/decode.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "iptables/netlink.h"
#include "iptables/reader.h"

#define MOST_DUMPS 5

static int find_chain(const char *name, enum chain *ret_chain)
{
    for (enum chain chain = 0; chain < CHAIN_COUNT; chain++) {
        if (strcmp(ruleset_chain_place(chain)->name, name) == 0) {
            *ret_chain = chain;
            return 0;
        }
    }
    return -ENOENT;
}

int decode_message(const struct nlmsghdr *message, struct ruleset *ruleset, unsigned *strange)
{
    struct nftnl_rule *encoded = nftnl_rule_alloc();
    struct rule rule = { 0 };
    const char *table, *chain;
    int r = 0;

    if (!encoded)
        return -ENOMEM;
    if (nftnl_rule_nlmsg_parse(message, encoded) < 0) {
        nftnl_rule_free(encoded);
        return -EPROTO;
    }
    table = nftnl_rule_get_str(encoded, NFTNL_RULE_TABLE);
    chain = nftnl_rule_get_str(encoded, NFTNL_RULE_CHAIN);
    if (nftnl_rule_get_u32(encoded, NFTNL_RULE_FAMILY) == NFPROTO_INET && table && chain &&
        strcmp(table, RULESET_TABLE) == 0) {
        if (find_chain(chain, &rule.chain) == 0 && reader_read(encoded, &rule))
            r = ruleset_append(ruleset, &rule);
        else
            (*strange)++;
    }
    nftnl_rule_free(encoded);
    return r;
}

struct reading {
    struct ruleset *ruleset;
    unsigned *strange;
    int error;
};

static int read_rule(const struct nlmsghdr *message, void *argument)
{
    struct reading *reading = argument;

    reading->error = decode_message(message, reading->ruleset, reading->strange);
    return reading->error < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

/* A chain is as it should be, or strange. */
static int read_chain(const struct nlmsghdr *message, void *argument)
{
    struct reading *reading = argument;
    struct nftnl_chain *chain = nftnl_chain_alloc();
    const char *table, *name, *type;
    enum chain which;

    if (!chain || nftnl_chain_nlmsg_parse(message, chain) < 0) {
        reading->error = chain ? -EPROTO : -ENOMEM;
        nftnl_chain_free(chain);
        return MNL_CB_ERROR;
    }
    table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);
    name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
    type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);
    if (nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY) == NFPROTO_INET && table && name &&
        strcmp(table, RULESET_TABLE) == 0) {
        const struct chain_place *place = find_chain(name, &which) == 0 ? ruleset_chain_place(which) : NULL;

        if (!place || !type || strcmp(type, place->type) != 0 ||
            nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM) != place->hook ||
            nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO) != place->priority ||
            nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) != NF_ACCEPT)
            (*reading->strange)++;
    }
    nftnl_chain_free(chain);
    return MNL_CB_OK;
}

static int see_table(const struct nlmsghdr *message, void *argument)
{
    (void)message;
    (void)argument;
    return MNL_CB_OK;
}

static int ask_for_table(struct mnl_socket *socket, char *buffer)
{
    struct nftnl_table *table = nftnl_table_alloc();
    struct nlmsghdr *request;
    int r;

    if (!table)
        return -ENOMEM;
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
    nftnl_table_set_str(table, NFTNL_TABLE_NAME, RULESET_TABLE);
    request = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_ACK, 1);
    nftnl_table_nlmsg_build_payload(request, table);
    r = netlink_ask(socket, request, see_table, NULL);
    nftnl_table_free(table);
    return r;
}

int decode_read(struct ruleset *ruleset, unsigned *ret_strange)
{
    struct reading reading = { .ruleset = ruleset, .strange = ret_strange };
    char buffer[4096];
    struct mnl_socket *socket;
    int r;

    *ret_strange = 0;
    r = netlink_open(NETLINK_NETFILTER, &socket);
    if (r < 0)
        return r;
    r = ask_for_table(socket, buffer);
    for (uint32_t attempt = 0; r == 0 && attempt < MOST_DUMPS; attempt++) {
        ruleset_done(ruleset);
        *ret_strange = 0;
        r = netlink_ask(socket,
                        nftnl_nlmsg_build_hdr(buffer, NFT_MSG_GETCHAIN, NFPROTO_INET, NLM_F_DUMP, 2 * attempt + 2),
                        read_chain, &reading);
        if (r == 0)
            r = netlink_ask(socket,
                            nftnl_nlmsg_build_hdr(buffer, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 2 * attempt + 3),
                            read_rule, &reading);
        if (r != -EINTR)
            break;
        r = attempt + 1 < MOST_DUMPS ? 0 : r; /* the rules were changed meanwhile (NLM_F_DUMP_INTR) */
    }
    if (reading.error < 0)
        r = reading.error;
    mnl_socket_close(socket);
    return r;
}
