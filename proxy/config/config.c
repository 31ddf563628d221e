#include "proxy/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "proxy/config/compare.h"
#include "proxy/config/decode.h"
#include "proxy/config/node.h"
#include "proxy/config/report.h"
#include "proxy/config/validate.h"
#include "proxy/config/validate_probes.h"

/* Transparent mode with the default policies. */
static const char built_in_name[] = "built-in configuration (there is no " CONFIG_DEFAULT_PATH ")";
static const char built_in[] = "version: 1\nintercept: {}\n";

struct config *config_ref(struct config *config)
{
    config->further_owners++;
    return config;
}

void config_free(struct config *config)
{
    if (!config || config->further_owners-- > 0)
        return;
    arena_done(&config->arena);
    free(config);
}

static int build(const char *text, size_t length, const struct config *running, struct config *config,
                 struct report *report)
{
    struct arena tree = { 0 };
    struct node *root = NULL;
    int r;

    r = node_parse(text, length, &tree, report, &root);
    if (r == 0)
        r = config_decode(root, config, report);
    if (r == 0)
        r = config_validate(root, config, report);
    if (r == 0 && running)
        compare_report_restarts(root, config, running, report);
    arena_done(&tree);
    if (r == 0 && report->count > 0)
        r = -EINVAL;
    return r;
}

static int parse(const char *name, const char *text, size_t length, const struct config *running,
                 struct config **ret_config, char **ret_errors)
{
    struct config *config = calloc(1, sizeof *config);
    struct report report;
    int r;

    if (!config)
        return -ENOMEM;
    report_init(&report, name);
    r = build(text, length, running, config, &report);
    if (r == -EINVAL) {
        *ret_errors = report_text(&report);
        if (!*ret_errors)
            r = -ENOMEM;
    }
    report_done(&report);
    if (r < 0) {
        config_free(config);
        return r;
    }
    *ret_config = config;
    return 0;
}

int config_parse(const char *name, const char *text, size_t length, struct config **ret_config, char **ret_errors)
{
    return parse(name, text, length, NULL, ret_config, ret_errors);
}

int config_parse_faults(const char *text, size_t length, struct faults_config *ret_faults, char **ret_errors)
{
    struct faults_config faults = { .bandwidth = 0 };
    struct arena arena = { 0 };
    struct node *root = NULL;
    const char *key, *problem;
    struct report report;
    int r;

    report_init(&report, "faults");
    r = node_parse(text, length, &arena, &report, &root);
    if (r == 0)
        r = config_decode_section(&schema_faults, root, &arena, &faults, &report);
    problem = r == 0 ? validate_faults(&faults, &key) : NULL;
    if (problem)
        report_add(&report, 1, 1, key, "%s", problem);
    if (r == 0 && report.count > 0)
        r = -EINVAL;
    if (r == -EINVAL) {
        *ret_errors = report_text(&report);
        if (!*ret_errors)
            r = -ENOMEM;
    }
    if (r == 0)
        *ret_faults = faults;
    report_done(&report);
    arena_done(&arena);
    return r;
}

static int report_unreadable(const char *path, int error, char **ret_errors)
{
    struct report report;

    report_init(&report, path);
    if (error == -EFBIG)
        report_add(&report, 0, 0, "", "larger than 16 MiB");
    else
        report_add(&report, 0, 0, "", "cannot be read: %s", strerror(-error));
    *ret_errors = report_text(&report);
    report_done(&report);
    return *ret_errors ? -EINVAL : -ENOMEM;
}

static int load(const char *path, const struct config *running, const char **ret_name, struct config **ret_config,
                char **ret_errors)
{
    const char *file = path ? path : CONFIG_DEFAULT_PATH;
    char *text;
    size_t length;
    int r;

    *ret_name = file;
    r = file_read(file, NODE_MOST_BYTES, &text, &length);
    if (r == -ENOENT && !path) {
        *ret_name = built_in_name;
        return parse(built_in_name, built_in, strlen(built_in), running, ret_config, ret_errors);
    }
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return report_unreadable(file, r, ret_errors);
    r = parse(file, text, length, running, ret_config, ret_errors);
    free(text);
    return r;
}

/* To the end of the list that the main file may have. */
static int append_probes(struct config *config, const struct probe_list *more)
{
    struct probe_list *probes = &config->probes;
    struct probe_config *items = arena_alloc(&config->arena, (probes->count + more->count) * sizeof *items);

    if (!items)
        return -ENOMEM;
    if (probes->count > 0)
        memcpy(items, probes->items, probes->count * sizeof *items);
    if (more->count > 0)
        memcpy(items + probes->count, more->items, more->count * sizeof *items);
    *probes = (struct probe_list){ .items = items, .count = probes->count + more->count };
    return 0;
}

static int add_probes(const char *name, const char *text, size_t length, struct config *config, char **ret_errors)
{
    struct probe_list more = { 0 };
    struct arena tree = { 0 };
    struct node *root = NULL;
    struct report report;
    int r;

    report_init(&report, name);
    r = node_parse(text, length, &tree, &report, &root);
    if (r == 0)
        r = config_decode_section(&schema_probes_file, root, &config->arena, &more, &report);
    if (r == 0)
        r = append_probes(config, &more);
    if (r == 0 && report.count == 0)
        validate_probes(&(struct validate){ root, config, &report }, &config->probes);
    if (r == 0 && report.count > 0)
        r = -EINVAL;
    if (r == -EINVAL) {
        *ret_errors = report_text(&report);
        if (!*ret_errors)
            r = -ENOMEM;
    }
    report_done(&report);
    arena_done(&tree);
    return r;
}

static int load_probes(const char *path, struct config *config, char **ret_errors)
{
    char *text;
    size_t length;
    int r = file_read(path, NODE_MOST_BYTES, &text, &length);

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return report_unreadable(path, r, ret_errors);
    r = add_probes(path, text, length, config, ret_errors);
    free(text);
    return r;
}

int config_load(const struct config_files *files, const struct config *running, const char **ret_name,
                struct config **ret_config, char **ret_errors)
{
    int r = load(files->path, running, ret_name, ret_config, ret_errors);

    if (r < 0 || !files->probes)
        return r;
    r = load_probes(files->probes, *ret_config, ret_errors);
    if (r < 0)
        config_free(*ret_config);
    return r;
}
