/* The configuration from the outside: load a file, print what is in force, describe what is allowed. */
#pragma once

#include <stddef.h>

#include "base/strbuf.h"
#include "proxy/config/model.h"

#define CONFIG_DEFAULT_PATH "/etc/outrigger/outrigger.yaml"

/* Where a configuration comes from. Borrowed. */
struct config_files {
    const char *path;   /* NULL: CONFIG_DEFAULT_PATH, and the built-in configuration when that does not exist */
    const char *probes; /* a file whose `probes` are added; NULL: none */
};

/*
 * Loads and checks what `files` name.
 *
 * running      the configuration in force, of which some keys cannot change; NULL: there is none
 * ret_config   set on success only; release with config_free()
 * ret_name     set always: what was loaded, for messages; borrowed from `files` or static
 * ret_errors   set on -EINVAL: every mistake, one line each; release with free()
 * Returns 0, -EINVAL, or -ENOMEM.
 */
int config_load(const struct config_files *files, const struct config *running, const char **ret_name,
                struct config **ret_config, char **ret_errors);

/* The same for a text in memory; `name` stands for the file in messages. */
int config_parse(const char *name, const char *text, size_t length, struct config **ret_config, char **ret_errors);

/* A cluster's `faults` alone, as YAML or JSON. Returns and errors as config_load(). */
int config_parse_faults(const char *text, size_t length, struct faults_config *ret_faults, char **ret_errors);

/* Another owner, in the same thread as all others; each calls config_free(). Returns `config`. */
struct config *config_ref(struct config *config);
void config_free(struct config *config);

/* Appends the whole configuration with its defaults, as YAML that loads to the same. */
void config_dump(const struct config *config, struct strbuf *text);

/* The same as JSON. Returns 0 or -ENOMEM. Reads and converts the whole: not for every second. */
int config_dump_json(const struct config *config, struct strbuf *text);

/* Appends the JSON Schema (2020-12) of the configuration. */
void config_schema(struct strbuf *text);

/* Appends the key tables of docs/configuration.md. */
void config_reference(struct strbuf *text);
