#include "proxy/observe/end_reason.h"

static const struct {
    const char *name;
    enum transport_closing closing;
    enum end_party party;
    const char *meaning;
} reasons[] = {
#define X(constant, label, how, whose, text) \
    [END_##constant] = { .name = label, .closing = how, .party = END_BY_##whose, .meaning = text },
    END_REASONS(X)
#undef X
};

const char *end_reason_name(enum end_reason reason)
{
    return reasons[reason].name;
}

const char *end_reason_meaning(enum end_reason reason)
{
    return reasons[reason].meaning;
}

enum transport_closing end_reason_closing(enum end_reason reason)
{
    return reasons[reason].closing;
}

enum end_party end_reason_party(enum end_reason reason)
{
    return reasons[reason].party;
}

bool end_reason_is_abnormal(enum end_reason reason)
{
    return reason != END_COMPLETED && reason != END_PROBE && reason != END_DRAIN_SPREAD;
}

const char *end_party_name(enum end_party party)
{
    static const char *const names[] = {
        [END_BY_CLIENT] = "client", [END_BY_UPSTREAM] = "upstream", [END_BY_PROXY] = "proxy", [END_BY_EITHER] = ""
    };

    return names[party];
}
