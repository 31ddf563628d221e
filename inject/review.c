#include "inject/review.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "inject/base64.h"
#include "inject/patch.h"

#define API_VERSION      "admission.k8s.io/v1"
#define MOST_PATCH_BYTES (16UL * 1024 * 1024)
#define MOST_DEPTH       200

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

static int convert(struct arena *arena, const json_t *json, unsigned depth, struct value **ret_value);

/* No key is there twice: JSON_REJECT_DUPLICATES. */
static int convert_map(struct arena *arena, const json_t *json, unsigned depth, struct value *map)
{
    size_t size = json_object_size(json);
    const char *key;
    json_t *item;
    int r = 0;

    map->keys = arena_alloc(arena, (size + 1) * sizeof *map->keys);
    map->items = arena_alloc(arena, (size + 1) * sizeof *map->items);
    if (!map->keys || !map->items)
        return -ENOMEM;
    map->capacity = size + 1;
    /* jansson's macro wants what it may change; nothing is changed. */
    json_object_foreach((json_t *)(uintptr_t)json, key, item)
    {
        map->keys[map->count] = value_new_plain(arena, key);
        r = map->keys[map->count] ? convert(arena, item, depth + 1, &map->items[map->count]) : -ENOMEM;
        if (r < 0)
            break;
        map->count++;
    }
    return r;
}

static int convert_list(struct arena *arena, const json_t *json, unsigned depth, struct value *list)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_array_size(json); i++) {
        struct value *value;

        r = convert(arena, json_array_get(json, i), depth + 1, &value);
        if (r == 0)
            r = value_insert(arena, list, list->count, value);
    }
    return r;
}

static struct value *convert_scalar(struct arena *arena, const json_t *json)
{
    char number[64];

    switch (json_typeof(json)) {
    case JSON_STRING:
        return value_new_text(arena, json_string_value(json));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return value_new_plain(arena, number);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(json));
        return value_new_plain(arena, number);
    case JSON_TRUE:
        return value_new_plain(arena, "true");
    case JSON_FALSE:
        return value_new_plain(arena, "false");
    default:
        return value_new_plain(arena, "null");
    }
}

/* Returns 0, -ENOMEM, or -EINVAL where it is nested too deeply. */
static int convert(struct arena *arena, const json_t *json, unsigned depth, struct value **ret_value)
{
    bool is_map = json_is_object(json), is_list = json_is_array(json);
    struct value *value;

    if (depth > MOST_DEPTH)
        return -EINVAL;
    value = is_map || is_list ? value_new(arena, is_map ? VALUE_MAP : VALUE_LIST) : convert_scalar(arena, json);
    *ret_value = value;
    if (!value)
        return -ENOMEM;
    if (is_map)
        return convert_map(arena, json, depth, value);
    return is_list ? convert_list(arena, json, depth, value) : 0;
}

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
    int r = json_is_object(question->object) ? convert(arena, question->object, 0, &before) : -EINVAL;

    if (r == 0)
        r = convert(arena, question->object, 0, &after);
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

static int append_answer(const struct question *question, const struct review_outcome *outcome,
                         const struct strbuf *patch, struct strbuf *answer)
{
    bool is_allowed = outcome->result != REVIEW_REFUSED;
    json_t *response = json_pack("{s:s, s:b}", "uid", question->uid, "allowed", is_allowed), *review;
    char words[POD_WORDS_SIZE + 64];
    char *text, *encoded;

    snprintf(words, sizeof words, "outrigger: %s%s", outcome->result == REVIEW_SKIPPED ? "no sidecar: " : "",
             outcome->words);
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

int review_answer(const char *body, size_t length, const struct inject_settings *settings, struct strbuf *answer,
                  struct review_outcome *ret_outcome)
{
    json_error_t error;
    json_t *review = json_loadb(body, length, JSON_REJECT_DUPLICATES, &error);
    char problem[sizeof error.text + 64];
    int status;

    *ret_outcome = (struct review_outcome){ .result = REVIEW_SKIPPED };
    if (!review) {
        snprintf(problem, sizeof problem, "not JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return fail(ret_outcome, 400, problem, answer);
    }
    status = answer_review(review, settings, answer, ret_outcome);
    json_decref(review);
    return status;
}
