#include "proxy/observe/end_reason.h"

static const struct {
    const char *name;
    enum transport_closing closing;
    const char *meaning;
} reasons[] = {
#define X(constant, label, how, text) [END_##constant] = { .name = label, .closing = how, .meaning = text },
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
