/*
 * Any YAML: what is read and written reads the same; what was given a sidecar twice is what was given one once; and
 * taken out again it has none.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inject/objects.h"
#include "inject/pod.h"
#include "inject/yaml.h"

static int inject(void *arena, const struct object_pod *pod)
{
    const struct inject_settings settings = { .image = "outrigger:1" };
    struct pod_outcome outcome;

    pod_inject(arena, pod->namespace, pod->metadata, pod->spec, &settings, &outcome);
    if ((outcome.verdict == POD_SKIPPED || outcome.verdict == POD_REFUSED) && outcome.reason[0] == '\0')
        abort();
    return 0;
}

static int uninject(void *arena, const struct object_pod *pod)
{
    pod_uninject(arena, pod->metadata, pod->spec);
    if (pod_uninject(arena, pod->metadata, pod->spec))
        abort();
    return 0;
}

static void for_all(struct arena *arena, const struct yaml_documents *documents, object_each *each)
{
    for (size_t i = 0; i < documents->count; i++)
        objects_for_each_pod(arena, documents->items[i], each, arena);
}

/* Writes them and reads them back. */
static struct yaml_documents round_trip(struct arena *arena, const struct yaml_documents *documents,
                                        struct strbuf *text)
{
    struct yaml_documents again;
    const char *problem;

    if (yaml_write(documents, text) < 0 || yaml_read(text->text, text->length, arena, &again, &problem) < 0)
        abort();
    return again;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct yaml_documents documents, again;
    struct strbuf first, second;
    struct arena arena = { 0 };
    const char *problem = NULL;
    int r = yaml_read((const char *)bytes, length, &arena, &documents, &problem);

    if (r == -EINVAL && !problem)
        abort();
    strbuf_init(&first, YAML_MOST_BYTES);
    strbuf_init(&second, YAML_MOST_BYTES);
    if (r == 0) {
        for_all(&arena, &documents, inject);
        again = round_trip(&arena, &documents, &first);
        for_all(&arena, &again, inject);
        round_trip(&arena, &again, &second);
        if (first.length != second.length || (first.length > 0 && memcmp(first.text, second.text, first.length) != 0))
            abort();
        for_all(&arena, &again, uninject);
    }
    strbuf_done(&first);
    strbuf_done(&second);
    arena_done(&arena);
    return 0;
}
