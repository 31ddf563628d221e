/* The parts of the sidecar: containers and volumes, as values. Each returns NULL without memory. */
#pragma once

#include "inject/annotations.h"
#include "inject/pod.h"

#define PART_INIT            "outrigger-init"
#define PART_PROXY           "outrigger"
#define PART_RUN_VOLUME      "outrigger-run"
#define PART_CONFIG_VOLUME   "outrigger-config"
#define PART_IDENTITY_VOLUME "outrigger-identity"
#define PART_UID             "1337" /* also its gid: what the redirect rules spare */

/* What the proxy listens on. */
bool part_is_proxy_port(unsigned port);

/* What runs as the proxy is never captured: it would be past the mesh. `security` is a securityContext, or NULL. */
bool part_runs_as_proxy(const struct value *security);

struct part_choice {
    const char *image;
    bool is_native;
    bool is_tproxy;         /* outside the profile "restricted": the proxy keeps NET_ADMIN */
    bool has_probes;        /* that the proxy asks the app with */
    bool holds_application; /* an ordinary container: the next one starts when the proxy is ready */
    unsigned grace_s;       /* spec.terminationGracePeriodSeconds */
    const struct annotations *annotations;
};

struct value *part_init(struct arena *arena, const struct part_choice *choice);
struct value *part_proxy(struct arena *arena, const struct part_choice *choice);
struct value *part_run_volume(struct arena *arena);

/* From the ConfigMap that is asked for, else from the annotation that holds the configuration. */
struct value *part_config_volume(struct arena *arena, const struct part_choice *choice);

/* Where part_has_identity(). */
struct value *part_identity_volume(struct arena *arena, const struct part_choice *choice);
bool part_has_identity(const struct part_choice *choice);

/* The configuration of a pod that brings none. */
struct value *part_generated_config(struct arena *arena, const struct part_choice *choice);
