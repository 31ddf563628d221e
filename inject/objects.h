/* Where the pods are in Kubernetes objects: Pod, what makes pods from a template, and lists of those. */
#pragma once

#include "inject/value.h"

/* One that was found. */
struct object_pod {
    struct value *metadata; /* of the pod, or of the template; made where it was not there */
    struct value *spec;
    const char *kind, *name, *namespace; /* of the object; "" where they are not given */
};

/* Returns 0, or a negative errno, which ends it. */
typedef int object_each(void *owner, const struct object_pod *pod);

/* Calls `each` for every pod in the document; what is of another kind is left alone. Returns what it returned, or
 * -ENOMEM. */
int objects_for_each_pod(struct arena *arena, struct value *document, object_each *each, void *owner);
