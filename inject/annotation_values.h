/* What annotations may say, and how that is told. Pure. Thread: any. */
#pragma once

#include <stdbool.h>

enum annotation_value {
    ANNOTATES_BOOL,
    ANNOTATES_SIDECAR,
    ANNOTATES_IMAGE,
    ANNOTATES_CONFIGURATION,
    ANNOTATES_CONFIG_MAP,
    ANNOTATES_LOG_LEVEL,
    ANNOTATES_SECRET,
    ANNOTATES_CSI_DRIVER,
    ANNOTATES_TLS_MODE,
    ANNOTATES_DURATION,
    ANNOTATES_QUANTITY,
    ANNOTATES_MODE,
    ANNOTATES_CIDRS_OR_ALL,
    ANNOTATES_CIDRS,
    ANNOTATES_PORTS_OR_ALL,
    ANNOTATES_PORTS,
    ANNOTATES_INTERFACES,
};

bool annotation_value_fits(enum annotation_value value, const char *text);

/* In words, for complaints and the documentation. */
const char *annotation_value_allowed(enum annotation_value value);

/*
 * Kubernetes' resource.Quantity, as much of it as CPU and memory need. In thousandths, so that they can be compared.
 * Returns whether it is one.
 */
bool annotation_value_quantity(const char *text, double *ret_milli);
