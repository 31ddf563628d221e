/*
 * The API server's question about a pod that is to be made (AdmissionReview, admission.k8s.io/v1), and its answer: the
 * sidecar as a JSON Patch, a refusal with its reason, or neither with a warning that says why. Pure.
 */
#pragma once

#include "base/strbuf.h"
#include "inject/pod.h"

#define REVIEW_MOST_BYTES (3UL * 1024 * 1024) /* the API server takes no larger request itself */

enum review_result {
    REVIEW_INJECTED,
    REVIEW_SKIPPED,
    REVIEW_REFUSED,
    REVIEW_ERROR, /* it was no such question, or there was no memory */
    REVIEW_RESULT_COUNT,
};

struct review_outcome {
    enum review_result result;
    char pod[512];              /* NAMESPACE/NAME, for the log; "" where it is not known */
    char words[POD_WORDS_SIZE]; /* why, or a warning; "" where there is nothing to say */
};

/* "injected" and so on, for metrics and the log. */
const char *review_result_name(enum review_result result);

/*
 * Answers `body`.
 *
 * answer  appended to: JSON with 200, else one line that says what is wrong
 * Returns the HTTP status: 200, 400, 413 or 500.
 */
int review_answer(const char *body, size_t length, const struct inject_settings *settings, struct strbuf *answer,
                  struct review_outcome *ret_outcome);
