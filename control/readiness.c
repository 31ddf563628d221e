#include "control/readiness.h"

static const char *const names[] = {
#define X(constant, label) [READINESS_##constant] = label,
    READINESS_BLOCKERS(X)
#undef X
};

void readiness_append_blockers(const struct readiness *readiness, const char *quote, struct strbuf *text)
{
    const char *separator = "";

    for (unsigned i = 0; i < READINESS_BLOCKER_COUNT; i++) {
        if (readiness->blockers & (1u << i)) {
            strbuf_printf(text, "%s%s%s%s", separator, quote, names[i], quote);
            separator = ",";
        }
    }
}
