/*
 * Any question of an API server: the answer is JSON with the question's uid, or a line that says what is wrong; and a
 * pod that is let in twice gets the same answer.
 */
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "inject/review.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct inject_settings settings = { .image = "outrigger:1",
                                              .decision = { .left_namespaces = DECISION_SYSTEM_NAMESPACES } };
    struct review_outcome outcome;
    struct strbuf answer;
    json_t *json;
    int status;

    strbuf_init(&answer, 64UL * 1024 * 1024);
    status = review_answer((const char *)bytes, length, &settings, &answer, &outcome);
    if ((status != 200) != (outcome.result == REVIEW_ERROR) || answer.length == 0)
        abort();
    json = json_loads(answer.text, 0, NULL);
    if (status == 200 && !json_string_value(json_object_get(json_object_get(json, "response"), "uid")))
        abort();
    json_decref(json);
    strbuf_done(&answer);
    return 0;
}
