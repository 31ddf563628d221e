#include "proxy/policy/faults.h"

#include "base/macros.h"
#include "base/units.h"

#define WHOLE          10000 /* 100% in hundredths of a percent */
#define BUCKET_PART_MS 50

static const char *const names[] = {
#define X(constant, label) [FAULT_##constant] = label,
    FAULTS(X)
#undef X
};

const char *fault_kind_name(enum fault_kind kind)
{
    return names[kind];
}

static bool injects(const struct faults_config *config)
{
    return (config->delay.percent > 0 && config->delay.time_ms > 0) || config->refuse.percent > 0 ||
           config->reset.percent > 0 || config->bandwidth > 0;
}

void faults_set(struct faults *faults, const struct faults_config *config)
{
    pthread_mutex_lock(&faults->mutex);
    faults->in_force = *config;
    atomic_store_explicit(&faults->is_on, injects(config), memory_order_relaxed);
    pthread_mutex_unlock(&faults->mutex);
}

void faults_init(struct faults *faults, const struct faults_config *configured)
{
    pthread_mutex_init(&faults->mutex, NULL);
    faults_set(faults, configured);
}

void faults_done(struct faults *faults)
{
    pthread_mutex_destroy(&faults->mutex);
}

static struct faults_config get(struct faults *faults)
{
    struct faults_config config;

    pthread_mutex_lock(&faults->mutex);
    config = faults->in_force;
    pthread_mutex_unlock(&faults->mutex);
    return config;
}

static const char *begin_word(const struct strbuf *text, size_t begin)
{
    return text->length > begin ? " " : "";
}

void faults_append_text(struct faults *faults, struct strbuf *text)
{
    struct faults_config config = get(faults);
    char percent[UNITS_TEXT_SIZE], value[UNITS_TEXT_SIZE];
    size_t begin = text->length;

    if (config.delay.percent > 0 && config.delay.time_ms > 0) {
        units_format_percent(config.delay.percent, percent);
        units_format_duration(config.delay.time_ms, value);
        strbuf_printf(text, "delay=%s:%s", percent, value);
    }
    if (config.refuse.percent > 0) {
        units_format_percent(config.refuse.percent, percent);
        strbuf_printf(text, "%srefuse=%s", begin_word(text, begin), percent);
    }
    if (config.reset.percent > 0) {
        units_format_percent(config.reset.percent, percent);
        units_format_size(config.reset.after_bytes, value);
        strbuf_printf(text, "%sreset=%s:%s", begin_word(text, begin), percent, value);
    }
    if (config.bandwidth > 0) {
        units_format_size(config.bandwidth, value);
        strbuf_printf(text, "%sbandwidth=%s", begin_word(text, begin), value);
    }
    if (text->length == begin)
        strbuf_append(text, "none");
}

static bool happens(uint64_t percent, struct random *random)
{
    return percent > 0 && random_below(random, WHOLE) < percent;
}

void faults_draw(struct faults *faults, struct random *random, struct fault_plan *ret_plan)
{
    struct faults_config config = get(faults);

    *ret_plan = (struct fault_plan){
        .delay_ms = config.delay.time_ms,
        .reset_after = config.reset.after_bytes,
        .bytes_per_second = config.bandwidth,
    };
    ret_plan->kinds[FAULT_DELAY] = config.delay.time_ms > 0 && happens(config.delay.percent, random);
    ret_plan->kinds[FAULT_REFUSE] = happens(config.refuse.percent, random);
    ret_plan->kinds[FAULT_RESET] = happens(config.reset.percent, random);
    ret_plan->kinds[FAULT_BANDWIDTH] = config.bandwidth > 0;
}

static uint64_t most_credit(const struct fault_pace *pace)
{
    return MAX(pace->bytes_per_second * BUCKET_PART_MS, (uint64_t)1000);
}

void fault_pace_init(struct fault_pace *pace, uint64_t bytes_per_second, uint64_t now_ms)
{
    *pace = (struct fault_pace){ .bytes_per_second = bytes_per_second, .at_ms = now_ms };
    pace->credit = most_credit(pace);
}

/* A byte a second is a thousandth of a byte a millisecond. */
size_t fault_pace_allowance(struct fault_pace *pace, uint64_t now_ms)
{
    uint64_t most = most_credit(pace), passed_ms = now_ms - pace->at_ms;

    pace->at_ms = now_ms;
    if (passed_ms >= most / pace->bytes_per_second)
        pace->credit = most;
    else
        pace->credit = MIN(pace->credit + passed_ms * pace->bytes_per_second, most);
    return pace->credit / 1000;
}

void fault_pace_take(struct fault_pace *pace, size_t bytes)
{
    pace->credit -= MIN(pace->credit, (uint64_t)bytes * 1000);
}

uint64_t fault_pace_wait_ms(const struct fault_pace *pace)
{
    return (most_credit(pace) - pace->credit) / pace->bytes_per_second + 1;
}
