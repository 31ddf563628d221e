#include "proxy/tls/tls_problem.h"

static const struct {
    const char *name, *meaning;
} problems[] = {
#define X(constant, label, text) [TLS_PROBLEM_##constant] = { label, text },
    TLS_PROBLEMS(X)
#undef X
};

const char *tls_problem_name(enum tls_problem problem)
{
    return problems[problem].name;
}

const char *tls_problem_meaning(enum tls_problem problem)
{
    return problems[problem].meaning;
}
