/* Whatever bytes the kernel's answer has, reading rules from it stays within them. */
#include "tests/fuzz/fuzz.h"

#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "iptables/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ruleset ruleset = { 0 };
    struct nlmsghdr *message;
    unsigned strange = 0;
    size_t size = sizeof *message + length;

    message = malloc(size);
    memset(message, 0, sizeof *message);
    memcpy(message + 1, bytes, length);
    message->nlmsg_len = (uint32_t)size;
    decode_message(message, &ruleset, &strange);
    for (size_t i = 0; i < ruleset.count; i++) {
        if (ruleset.rules[i].match_count > RULE_MOST_MATCHES ||
            memchr(ruleset.rules[i].reason, '\0', RULE_REASON_SIZE) == NULL)
            abort();
    }
    ruleset_done(&ruleset);
    free(message);
    return 0;
}
