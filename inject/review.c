#include "inject/review.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "inject/base64.h"
#include "inject/json.h"
#include "inject/patch.h"

#define API_VERSION      "admission.k8s.io/v1"
#define MOST_PATCH_BYTES (16UL * 1024 * 1024)
#define MOST_PARTS       200000 /* values, about: jansson needs some 300 bytes for one */

static const char *const names[REVIEW_RESULT_COUNT] = {
    [REVIEW_INJECTED] = "injected",
    [REVIEW_SKIPPED] = "skipped",
    [REVIEW_REFUSED] = "refused",
    [REVIEW_ERROR] = "error",
};

const char *review_result_name(enum review_result result)
{
    return names[result];
}

/* What is asked. Strings are borrowed from the question. */
struct question {
    const char *uid, *kind, *operation, *namespace;
    json_t *object;
};

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text ? text : "";
}

/* Returns NULL, or what is wrong with it. */
static const char *read_question(const json_t *review, struct question *ret_question)
{
    const json_t *request = json_object_get(review, "request");

    if (strcmp(text_of(review, "apiVersion"), API_VERSION) != 0 ||
        strcmp(text_of(review, "kind"), "AdmissionReview") != 0)
        return "expected an AdmissionReview of " API_VERSION;
    if (!json_is_object(request))
        return "request is missing";
    *ret_question = (struct question){
        .uid = text_of(request, "uid"),
        .kind = text_of(json_object_get(request, "kind"), "kind"),
        .operation = text_of(request, "operation"),
        .namespace = text_of(request, "namespace"),
        .object = json_object_get(request, "object"),
    };
    return ret_question->uid[0] == '\0' ? "request.uid is missing" : NULL;
}

static void name_pod(const struct question *question, const struct value *metadata, char name[512])
{
    const char *given = value_get_text(metadata, "name"), *generated = value_get_text(metadata, "generateName");

    snprintf(name, 512, "%.200s/%.256s", question->namespace, given ? given : generated ? generated : "?");
}

/* The pod's metadata, which is made where it is not there. */
static struct value *metadata_of(struct arena *arena, struct value *pod)
{
    struct value *metadata = value_get(pod, "metadata");

    if (metadata && metadata->kind == VALUE_MAP)
        return metadata;
    metadata = value_new(arena, VALUE_MAP);
    return value_set(arena, pod, "metadata", metadata) < 0 ? NULL : metadata;
}

/* Returns 0, -ENOMEM or -EINVAL. */
static int decide(struct arena *arena, const struct question *question, const struct inject_settings *settings,
                  struct strbuf *patch, struct review_outcome *outcome)
{
    struct value *before, *after, *metadata, *spec;
    struct pod_outcome pod;
    int r = json_is_object(question->object) ? json_convert(arena, question->object, &before) : -EINVAL;

    if (r == 0)
        r = json_convert(arena, question->object, &after);
    if (r < 0)
        return r;
    metadata = metadata_of(arena, after);
    spec = value_get(after, "spec");
    if (!metadata)
        return -ENOMEM;
    if (!spec || spec->kind != VALUE_MAP)
        return -EINVAL;
    name_pod(question, metadata, outcome->pod);
    pod_inject(arena, question->namespace, metadata, spec, settings, &pod);
    if (pod.verdict == POD_NO_MEMORY)
        return -ENOMEM;
    outcome->result = pod.verdict == POD_INJECTED  ? REVIEW_INJECTED
                      : pod.verdict == POD_SKIPPED ? REVIEW_SKIPPED
                                                   : REVIEW_REFUSED;
    snprintf(outcome->words, sizeof outcome->words, "%s", pod.verdict == POD_INJECTED ? pod.warning : pod.reason);
    if (outcome->result == REVIEW_INJECTED)
        patch_write(before, after, patch);
    return strbuf_failed(patch) ? -ENOMEM : 0;
}

/* Words were cut to a length, perhaps in the middle of a character, which JSON would not take. */
static void cut_to_characters(char *words)
{
    size_t length = strlen(words);
    json_t *json;

    while (!(json = json_string(words)) && length > 0)
        words[--length] = '\0';
    json_decref(json);
}

static int append_answer(const struct question *question, const struct review_outcome *outcome,
                         const struct strbuf *patch, struct strbuf *answer)
{
    bool is_allowed = outcome->result != REVIEW_REFUSED;
    json_t *response = json_pack("{s:s, s:b}", "uid", question->uid, "allowed", is_allowed), *review;
    char words[POD_WORDS_SIZE + 64];
    char *text, *encoded;

    snprintf(words, sizeof words, "outrigger: %s%s", outcome->result == REVIEW_SKIPPED ? "no sidecar: " : "",
             outcome->words);
    cut_to_characters(words);
    if (!is_allowed)
        json_object_set_new(response, "status",
                            json_pack("{s:s, s:i, s:s}", "message", words, "code", 422, "reason", "Invalid"));
    else if (outcome->words[0] != '\0')
        json_object_set_new(response, "warnings", json_pack("[s]", words));
    if (outcome->result == REVIEW_INJECTED) {
        json_object_set_new(response, "patchType", json_string("JSONPatch"));
        encoded = base64_encode(patch->text, patch->length);
        json_object_set_new(response, "patch", encoded ? json_string(encoded) : NULL);
        free(encoded);
    }
    if (outcome->result == REVIEW_INJECTED && !json_object_get(response, "patch")) {
        json_decref(response);
        return -ENOMEM;
    }
    review = json_pack("{s:s, s:s, s:o}", "apiVersion", API_VERSION, "kind", "AdmissionReview", "response", response);
    text = review ? json_dumps(review, JSON_COMPACT) : NULL;
    json_decref(review);
    if (!text)
        return -ENOMEM;
    strbuf_append(answer, text);
    free(text);
    return 0;
}

static int fail(struct review_outcome *outcome, int status, const char *problem, struct strbuf *answer)
{
    outcome->result = REVIEW_ERROR;
    snprintf(outcome->words, sizeof outcome->words, "%s", problem);
    strbuf_printf(answer, "%s\n", problem);
    return status;
}

/* Only pods that are made get anything; everything else that may be asked is let pass. */
static bool is_new_pod(const struct question *question)
{
    return strcmp(question->kind, "Pod") == 0 && strcmp(question->operation, "CREATE") == 0;
}

static int answer_review(const json_t *review, const struct inject_settings *settings, struct strbuf *answer,
                         struct review_outcome *outcome)
{
    struct question question;
    const char *problem = read_question(review, &question);
    struct arena arena = { 0 };
    struct strbuf patch;
    int r = 0;

    if (problem)
        return fail(outcome, 400, problem, answer);
    strbuf_init(&patch, MOST_PATCH_BYTES);
    if (is_new_pod(&question))
        r = decide(&arena, &question, settings, &patch, outcome);
    else
        snprintf(outcome->words, sizeof outcome->words, "it is no pod that is made");
    if (r == 0)
        r = append_answer(&question, outcome, &patch, answer);
    strbuf_done(&patch);
    arena_done(&arena);
    if (r == -EINVAL)
        return fail(outcome, 400, "request.object is no pod", answer);
    return r < 0 ? fail(outcome, 500, "out of memory", answer) : 200;
}

/* At least as many as there are values. */
static size_t count_parts(const char *body, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += body[i] == ',' || body[i] == '[' || body[i] == '{';
    return count;
}

int review_answer(const char *body, size_t length, const struct inject_settings *settings, struct strbuf *answer,
                  struct review_outcome *ret_outcome)
{
    json_error_t error;
    char problem[sizeof error.text + 64];
    json_t *review;
    int status;

    *ret_outcome = (struct review_outcome){ .result = REVIEW_SKIPPED };
    if (count_parts(body, length) > MOST_PARTS) {
        snprintf(problem, sizeof problem, "more than %d values", MOST_PARTS);
        return fail(ret_outcome, 413, problem, answer);
    }
    review = json_loadb(body, length, JSON_REJECT_DUPLICATES, &error);
    if (!review) {
        snprintf(problem, sizeof problem, "not JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return fail(ret_outcome, 400, problem, answer);
    }
    status = answer_review(review, settings, answer, ret_outcome);
    json_decref(review);
    return status;
}
