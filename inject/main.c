/* outrigger-inject: arguments, files in, YAML out. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "inject/make_certificate.h"
#include "inject/objects.h"
#include "inject/pod.h"
#include "inject/webhook.h"
#include "inject/yaml.h"

#define EXIT_REFUSED 1
#define EXIT_USAGE   2

static const char help[] =
    "Usage: outrigger-inject [--image IMAGE] [--sidecar native|ordinary] [--only-annotated] [FILE|-]...\n"
    "       outrigger-inject --uninject [FILE|-]...\n"
    "       outrigger-inject --webhook --cert FILE --key FILE [--listen ADDRESS:PORT] [--image IMAGE] ...\n"
    "       outrigger-inject --make-certificate --service NAME --secret NAMESPACE/NAME --webhook-configuration NAME\n"
    "\n"
    "Adds the Outrigger sidecar to the pods of Kubernetes objects (Pod, Deployment, StatefulSet, DaemonSet, "
    "ReplicaSet,\n"
    "Job, CronJob, List, several documents; other kinds pass untouched) and prints them as YAML. What has it already\n"
    "gets it anew. Comments go, order and values stay.\n"
    "\n"
    "  --image IMAGE       the programs' image; default outrigger:" OUTRIGGER_VERSION "\n"
    "  --sidecar native    an init container with restartPolicy Always (Kubernetes 1.29 and later; the default)\n"
    "  --sidecar ordinary  a container before the app's\n"
    "  --only-annotated    only pods with the annotation outrigger.dev/inject: \"true\"\n"
    "  --uninject          takes out what this program has added\n"
    "  --exclude-namespaces LIST\n"
    "                      whose pods are left alone; default " DECISION_SYSTEM_NAMESPACES "\n"
    "\n"
    "  --webhook           answers the API server (AdmissionReview v1) until SIGTERM\n"
    "  --listen ADDRESS:PORT\n"
    "                      default 0.0.0.0:8443; POST /inject, GET /healthz/live, /healthz/ready, /metrics\n"
    "  --cert, --key FILE  PEM; what is written there later is in force for new connections\n"
    "  --shutdown-delay TIME\n"
    "                      how long it goes on answering after SIGTERM, no longer ready; default 5s\n"
    "\n"
    "  --make-certificate  in a pod: makes the webhook's certificate, or the next one when it is time, and tells the "
    "API\n"
    "                      server to believe it\n"
    "  --service NAME      the name that it is for: SERVICE.NAMESPACE.svc\n"
    "  --secret NAMESPACE/NAME\n"
    "                      the Secret that it goes to\n"
    "  --webhook-configuration NAME\n"
    "                      the MutatingWebhookConfiguration whose caBundle is kept\n"
    "\n"
    "  --version, --help\n"
    "\n"
    "Pods say of themselves what they want otherwise, with annotations outrigger.dev/...\n"
    "Exit: 0 done, 1 a pod was refused and nothing was printed, 2 wrong usage or no YAML.\n";

struct run {
    struct inject_settings settings;
    bool uninjects, was_refused;
    struct arena arena;
    const char *file; /* that is worked on */
};

static void tell(const struct run *run, const struct object_pod *pod, const char *what, const char *words)
{
    fprintf(stderr, "%s: %s %s%s%s: %s: %s\n", run->file, pod->kind, pod->namespace, pod->namespace[0] ? "/" : "",
            pod->name[0] ? pod->name : "(no name)", what, words);
}

static int on_pod(void *owner, const struct object_pod *pod)
{
    struct run *run = owner;
    struct pod_outcome outcome;

    if (run->uninjects) {
        pod_uninject(&run->arena, pod->metadata, pod->spec);
        return 0;
    }
    pod_inject(&run->arena, pod->namespace, pod->metadata, pod->spec, &run->settings, &outcome);
    if (outcome.verdict == POD_NO_MEMORY)
        return -ENOMEM;
    if (outcome.warning[0] != '\0')
        tell(run, pod, "warning", outcome.warning);
    if (outcome.verdict == POD_SKIPPED)
        tell(run, pod, "skipped", outcome.reason);
    if (outcome.verdict == POD_REFUSED)
        tell(run, pod, "refused", outcome.reason);
    run->was_refused |= outcome.verdict == POD_REFUSED;
    return 0;
}

/* The whole file. Returns 0 or a negative errno. */
static int read_whole(const char *path, struct strbuf *text)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), r = 0;
    char bytes[16384];
    ssize_t n;

    if (fd < 0)
        return -errno;
    while (r == 0 && (n = read(fd, bytes, sizeof bytes)) != 0) {
        if (n < 0)
            r = errno == EINTR ? 0 : -errno;
        else
            strbuf_append_bytes(text, bytes, (size_t)n);
        if (strbuf_failed(text))
            r = -EFBIG;
    }
    if (!is_stdin)
        close(fd);
    return r;
}

/* Appends what came of one file. Returns 0, or the exit code after saying why. */
static int work_on(struct run *run, const char *path, struct strbuf *output)
{
    struct yaml_documents documents;
    const char *problem = NULL;
    struct strbuf text;
    int r;

    run->file = strcmp(path, "-") == 0 ? "standard input" : path;
    strbuf_init(&text, YAML_MOST_BYTES);
    r = read_whole(path, &text);
    if (r == 0)
        r = yaml_read(text.text, text.length, &run->arena, &documents, &problem);
    for (size_t i = 0; r == 0 && i < documents.count; i++)
        r = objects_for_each_pod(&run->arena, documents.items[i], on_pod, run);
    if (r == 0 && output->length > 0 && documents.count > 0)
        strbuf_append(output, "---\n");
    if (r == 0)
        r = yaml_write(&documents, output);
    strbuf_done(&text);
    if (r == 0)
        return 0;
    if (problem)
        fprintf(stderr, "outrigger-inject: %s:%s\n", run->file, problem);
    else
        fprintf(stderr, "outrigger-inject: %s: %s\n", run->file, r == -EFBIG ? "larger than 64 MiB" : strerror(-r));
    return EXIT_USAGE;
}

static int run_on_all(struct run *run, int count, char **paths)
{
    static char standard_input[] = "-", *usual[] = { standard_input };
    struct strbuf output;
    int code = 0;

    if (count == 0) {
        count = 1;
        paths = usual;
    }
    strbuf_init(&output, 4UL * YAML_MOST_BYTES);
    for (int i = 0; code == 0 && i < count; i++)
        code = work_on(run, paths[i], &output);
    if (code == 0 && run->was_refused)
        code = EXIT_REFUSED;
    if (code == 0 && (fputs(output.text, stdout) < 0 || fflush(stdout) != 0)) {
        fprintf(stderr, "outrigger-inject: standard output: %s\n", strerror(errno));
        code = EXIT_REFUSED;
    }
    strbuf_done(&output);
    arena_done(&run->arena);
    return code;
}

static int usage(const char *problem, const char *argument)
{
    fprintf(stderr, "outrigger-inject: %s \"%s\"\nTry 'outrigger-inject --help'.\n", problem, argument);
    return EXIT_USAGE;
}

static int run_webhook(const struct webhook_settings *webhook, int count, char **paths, bool uninjects)
{
    if (count > 0)
        return usage("--webhook takes no files, such as", paths[0]);
    if (uninjects)
        return usage("--webhook does not go with", "--uninject");
    if (!webhook->certificate_path || !webhook->key_path)
        return usage("--webhook needs", webhook->certificate_path ? "--key" : "--cert");
    return webhook_run(webhook);
}

static int run_make_certificate(const struct make_certificate_settings *settings)
{
    if (!settings->service || !settings->secret || !settings->webhook_configuration)
        return usage("--make-certificate needs", !settings->service  ? "--service"
                                                 : !settings->secret ? "--secret"
                                                                     : "--webhook-configuration");
    return make_certificate(settings);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "image", required_argument, NULL, 'i' },
        { "sidecar", required_argument, NULL, 's' },
        { "only-annotated", no_argument, NULL, 'a' },
        { "uninject", no_argument, NULL, 'u' },
        { "exclude-namespaces", required_argument, NULL, 'n' },
        { "make-certificate", no_argument, NULL, 'm' },
        { "service", required_argument, NULL, 'e' },
        { "secret", required_argument, NULL, 't' },
        { "webhook-configuration", required_argument, NULL, 'o' },
        { "webhook", no_argument, NULL, 'w' },
        { "listen", required_argument, NULL, 'l' },
        { "cert", required_argument, NULL, 'c' },
        { "key", required_argument, NULL, 'k' },
        { "shutdown-delay", required_argument, NULL, 'd' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct run run = { .settings = { .image = "outrigger:" OUTRIGGER_VERSION,
                                     .decision = { .left_namespaces = DECISION_SYSTEM_NAMESPACES } } };
    struct webhook_settings webhook = { .listen = "0.0.0.0:8443", .shutdown_delay_ms = 5000 };
    struct make_certificate_settings certificate = { .account = getenv("OUTRIGGER_SERVICE_ACCOUNT") };
    bool is_webhook = false, makes_certificate = false;
    uint64_t delay_ms;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'i':
            run.settings.image = optarg;
            break;
        case 's':
            if (strcmp(optarg, "native") != 0 && strcmp(optarg, "ordinary") != 0)
                return usage("--sidecar takes native or ordinary, not", optarg);
            run.settings.ordinary = strcmp(optarg, "ordinary") == 0;
            break;
        case 'a':
            run.settings.decision.only_where_asked = true;
            break;
        case 'u':
            run.uninjects = true;
            break;
        case 'n':
            run.settings.decision.left_namespaces = optarg;
            break;
        case 'm':
            makes_certificate = true;
            break;
        case 'e':
            certificate.service = optarg;
            break;
        case 't':
            certificate.secret = optarg;
            break;
        case 'o':
            certificate.webhook_configuration = optarg;
            break;
        case 'w':
            is_webhook = true;
            break;
        case 'l':
            webhook.listen = optarg;
            break;
        case 'c':
            webhook.certificate_path = optarg;
            break;
        case 'k':
            webhook.key_path = optarg;
            break;
        case 'd':
            if (units_parse_duration(optarg, &delay_ms) < 0 || delay_ms > 600000)
                return usage("--shutdown-delay takes a duration up to 10m, not", optarg);
            webhook.shutdown_delay_ms = (unsigned)delay_ms;
            break;
        case 'v':
            puts("outrigger-inject " OUTRIGGER_VERSION);
            return 0;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return usage("unknown or incomplete option", argv[optind - 1]);
        }
    }
    if (makes_certificate)
        return run_make_certificate(&certificate);
    webhook.inject = run.settings;
    if (is_webhook)
        return run_webhook(&webhook, argc - optind, argv + optind, run.uninjects);
    if (webhook.certificate_path || webhook.key_path)
        return usage("--cert and --key belong to", "--webhook");
    return run_on_all(&run, argc - optind, argv + optind);
}
