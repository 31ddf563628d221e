#include "inject/make_certificate.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "inject/api_client.h"
#include "inject/base64.h"
#include "inject/self_signed.h"

#define RENEW_BEFORE_S (30 * 86400L)
#define DEADLINE_S     60   /* of the whole */
#define OVERLAP_S      3600 /* how long a certificate's predecessor is believed */
#define MOST_PEM       (256UL * 1024)
#define PEM_END        "-----END CERTIFICATE-----\n"

struct job {
    const struct make_certificate_settings *settings;
    struct api_client api;
    char secrets_path[256], secret_path[512], webhook_path[320];
    char namespace[64], name[254];
    time_t now_s;
    struct strbuf certificate, key;         /* of the Secret; "" where there is none */
    char *secret_version, *webhook_version; /* as they were read: what has changed since is not overwritten */
    json_t *webhooks;                       /* of the configuration */
};

static int complain(const char *what, const char *problem)
{
    fprintf(stderr, "outrigger-inject: %s: %s\n", what, problem);
    return -EINVAL;
}

/* What an API server says of a request that it refused. */
static int complain_of_answer(const char *path, int status, const char *answer)
{
    json_t *json = json_loads(answer, 0, NULL);
    const char *message = json_string_value(json_object_get(json, "message"));

    fprintf(stderr, "outrigger-inject: %s: %d: %s\n", path, status, message ? message : "no reason given");
    json_decref(json);
    return -EPROTO;
}

/*
 * Returns 0, -ENOENT where the object is not there, or another negative errno after saying what happened.
 * ret_json  NULL: the answer does not matter
 */
static int request(struct job *job, const char *method, const char *path, const char *type, const json_t *body,
                   json_t **ret_json)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct strbuf answer;
    int status;

    strbuf_init(&answer, 8UL * 1024 * 1024);
    status = body && !text ? -ENOMEM : api_client_request(&job->api, method, path, type, text, &answer);
    free(text);
    if (status == 404 && ret_json)
        status = -ENOENT;
    else if (status > 299)
        status = complain_of_answer(path, status, answer.text);
    else if (status > 0 && ret_json)
        status = (*ret_json = json_loads(answer.text, 0, NULL)) ? 0 : complain(path, "the answer is not JSON");
    strbuf_done(&answer);
    return status < 0 ? status : 0;
}

static json_t *encode(const char *text)
{
    char *encoded = base64_encode(text, strlen(text));
    json_t *json = encoded ? json_string(encoded) : NULL;

    free(encoded);
    return json;
}

static char *version_of(const json_t *object)
{
    const char *version = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));

    return version ? strdup(version) : NULL;
}

static int read_secret(struct job *job)
{
    const char *certificate, *key;
    json_t *secret;
    int r = request(job, "GET", job->secret_path, NULL, NULL, &secret);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    job->secret_version = version_of(secret);
    certificate = json_string_value(json_object_get(json_object_get(secret, "data"), "tls.crt"));
    key = json_string_value(json_object_get(json_object_get(secret, "data"), "tls.key"));
    if (certificate && key) {
        base64_append_decoded(certificate, &job->certificate);
        base64_append_decoded(key, &job->key);
    }
    json_decref(secret);
    return 0;
}

static int read_webhooks(struct job *job)
{
    json_t *configuration;
    int r = request(job, "GET", job->webhook_path, NULL, NULL, &configuration);

    if (r == -ENOENT)
        return complain(job->settings->webhook_configuration, "there is no such MutatingWebhookConfiguration");
    if (r < 0)
        return r;
    job->webhook_version = version_of(configuration);
    job->webhooks = json_incref(json_object_get(configuration, "webhooks"));
    json_decref(configuration);
    return json_array_size(job->webhooks) > 0 ? 0
                                              : complain(job->settings->webhook_configuration, "it has no webhooks");
}

/* The certificates of a bundle that are still good for something, but for `other`. */
static void append_valid(const struct job *job, const char *bundle, const char *other, struct strbuf *text)
{
    const char *end;

    for (; (end = strstr(bundle, PEM_END)); bundle = end + strlen(PEM_END)) {
        size_t length = (size_t)(end - bundle) + strlen(PEM_END);
        char *one = strndup(bundle, length);
        struct pem_facts facts;

        if (one && strcmp(one, other) != 0 && self_signed_look(one, NULL, job->settings->service, &facts) &&
            facts.ends_s > job->now_s)
            strbuf_append_bytes(text, one, length);
        free(one);
    }
}

/* What the API server is to believe for a webhook that believes `bundle`: the certificate, and others with it. */
static void append_bundle(const struct job *job, const char *bundle, bool with_others, struct strbuf *text)
{
    struct strbuf decoded;

    strbuf_append(text, job->certificate.text);
    if (!with_others)
        return;
    strbuf_init(&decoded, MOST_PEM);
    base64_append_decoded(bundle, &decoded);
    append_valid(job, decoded.text, job->certificate.text, text);
    strbuf_done(&decoded);
}

/* Returns 0 when there is nothing to change, too. */
static int write_bundles(struct job *job, bool with_others)
{
    json_t *changes = json_array(), *body;
    bool differs = false;
    int r = 0;

    for (size_t i = 0; i < json_array_size(job->webhooks); i++) {
        json_t *webhook = json_array_get(job->webhooks, i), *wanted;
        const char *name = json_string_value(json_object_get(webhook, "name"));
        const char *bundle = json_string_value(json_object_get(json_object_get(webhook, "clientConfig"), "caBundle"));
        struct strbuf text;

        strbuf_init(&text, MOST_PEM);
        append_bundle(job, bundle ? bundle : "", with_others, &text);
        wanted = encode(text.text);
        differs |= !bundle || !wanted || strcmp(bundle, json_string_value(wanted)) != 0;
        json_array_append_new(
            changes, json_pack("{s:s, s:{s:o}}", "name", name ? name : "", "clientConfig", "caBundle", wanted));
        strbuf_done(&text);
    }
    /* Webhooks are merged by their names. */
    body = json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion", job->webhook_version ? job->webhook_version : "",
                     "webhooks", changes);
    if (differs)
        r = request(job, "PATCH", job->webhook_path, "application/strategic-merge-patch+json", body, NULL);
    if (differs && r == 0)
        printf("%s: the API server believes %s\n", job->settings->webhook_configuration,
               with_others ? "the certificate, and what was there" : "the certificate");
    json_decref(body);
    return r;
}

static int write_secret(struct job *job)
{
    json_t *body = json_pack("{s:s, s:s, s:{s:s}, s:s, s:{s:o, s:o}}", "apiVersion", "v1", "kind", "Secret", "metadata",
                             "name", job->name, "type", "kubernetes.io/tls", "data", "tls.crt",
                             encode(job->certificate.text), "tls.key", encode(job->key.text));
    int r = body ? 0 : -ENOMEM;

    if (r == 0 && job->secret_version)
        json_object_set_new(json_object_get(body, "metadata"), "resourceVersion", json_string(job->secret_version));
    if (r == 0 && job->secret_version)
        r = request(job, "PATCH", job->secret_path, "application/merge-patch+json", body, NULL);
    else if (r == 0)
        r = request(job, "POST", job->secrets_path, "application/json", body, NULL);
    json_decref(body);
    if (r == 0)
        printf("%s: a certificate for %s that is good for %d days\n", job->settings->secret, job->settings->service,
               SELF_SIGNED_DAYS);
    return r;
}

/* The next one: it is believed before it is used. */
static int renew(struct job *job)
{
    int r;

    strbuf_done(&job->certificate);
    strbuf_done(&job->key);
    strbuf_init(&job->certificate, MOST_PEM);
    strbuf_init(&job->key, MOST_PEM);
    r = self_signed_make(job->settings->service, job->now_s, &job->certificate, &job->key);
    if (r == 0)
        r = write_bundles(job, true);
    return r < 0 ? r : write_secret(job);
}

static int run(struct job *job)
{
    struct pem_facts facts;
    int r = read_secret(job);

    if (r == 0)
        r = read_webhooks(job);
    if (r < 0)
        return r;
    if (!self_signed_look(job->certificate.text, job->key.text, job->settings->service, &facts) || !facts.fits_name ||
        !facts.fits_key || facts.ends_s - job->now_s < RENEW_BEFORE_S)
        return renew(job);
    printf("%s: its certificate is good for another %ld days\n", job->settings->secret,
           (long)(facts.ends_s - job->now_s) / 86400);
    return write_bundles(job, job->now_s - facts.begins_s < OVERLAP_S);
}

/* Whether it can stand in a path as it is. */
static bool is_name(const char *text, size_t length)
{
    return length > 0 && length <= 253 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") >= length;
}

static int set_paths(struct job *job)
{
    const char *secret = job->settings->secret, *configuration = job->settings->webhook_configuration;
    size_t length = strcspn(secret, "/");

    if (length > 63 || secret[length] != '/' || !is_name(secret, length) ||
        !is_name(secret + length + 1, strlen(secret + length + 1)))
        return complain(secret, "expected NAMESPACE/NAME of a Secret");
    if (!is_name(configuration, strlen(configuration)))
        return complain(configuration, "expected the name of a MutatingWebhookConfiguration");
    snprintf(job->namespace, sizeof job->namespace, "%.*s", (int)length, secret);
    snprintf(job->name, sizeof job->name, "%s", secret + length + 1);
    snprintf(job->secrets_path, sizeof job->secrets_path, "/api/v1/namespaces/%s/secrets", job->namespace);
    snprintf(job->secret_path, sizeof job->secret_path, "%s/%s", job->secrets_path, job->name);
    snprintf(job->webhook_path, sizeof job->webhook_path,
             "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/%s", configuration);
    return 0;
}

/* An API server that says nothing must not keep the next run from being made. */
static void on_alarm(int number)
{
    static const char words[] = "outrigger-inject: timed out\n";

    (void)number;
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(2); /* nobody hears it */
    _exit(1);
}

int make_certificate(const struct make_certificate_settings *settings)
{
    struct job job = { .settings = settings, .now_s = time(NULL) };
    int r = set_paths(&job);

    signal(SIGALRM, on_alarm);
    alarm(DEADLINE_S);
    if (r == 0)
        r = api_client_init(&job.api, settings->account ? settings->account : API_ACCOUNT);
    if (r < 0)
        return 1;
    strbuf_init(&job.certificate, MOST_PEM);
    strbuf_init(&job.key, MOST_PEM);
    r = run(&job);
    if (r == -ENOMEM)
        complain("out of memory", strerror(ENOMEM));
    strbuf_done(&job.certificate);
    strbuf_done(&job.key);
    free(job.secret_version);
    free(job.webhook_version);
    json_decref(job.webhooks);
    api_client_done(&job.api);
    return r < 0 ? 1 : 0;
}
