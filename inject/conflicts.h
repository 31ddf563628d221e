/*
 * What a pod has that the sidecar cannot be beside: its uid and gid, its ports, its names; and what cannot be
 * understood.
 *
 * Thread: any.
 */
#pragma once

#include <stdbool.h>

#include "inject/pod.h"
#include "inject/value.h"

/* Returns whether something is in the way, and then what, in `reason`. `spec` is a map, without a sidecar of ours. */
bool conflicts_find(const struct value *spec, bool is_native, char reason[POD_WORDS_SIZE]);
