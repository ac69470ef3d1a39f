#include "run/job_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"

void job_cache_init(struct job_cache *cache)
{
    *cache = (struct job_cache){.newest = NULL};
    map_init(&cache->jobs);
}

void job_unref(struct job *job)
{
    if (job == NULL || --job->references > 0)
        return;
    cJSON_Delete(job->document);
    free(job);
}

/* --- the order of use --- */

static void unlink_job(struct job_cache *cache, struct job *job)
{
    *(job->newer != NULL ? &job->newer->older : &cache->newest) = job->older;
    *(job->older != NULL ? &job->older->newer : &cache->oldest) = job->newer;
    job->newer = job->older = NULL;
}

static void link_newest(struct job_cache *cache, struct job *job)
{
    job->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = job;
    cache->newest = job;
}

static void evict(struct job_cache *cache, struct job *job)
{
    unlink_job(cache, job);
    (void)map_remove(&cache->jobs, &job->key, sizeof job->key);
    cache->text_bytes -= job->text_bytes;
    job_unref(job);
}

void job_cache_deinit(struct job_cache *cache)
{
    while (cache->oldest != NULL)
        evict(cache, cache->oldest);
    map_deinit(&cache->jobs);
}

/* Keeps the job if there is memory for it; else it lives as long as its user. */
static void insert(struct job_cache *cache, struct job *job)
{
    while (cache->oldest != NULL &&
           (cache->jobs.count >= JOB_CACHE_MAX || cache->text_bytes + job->text_bytes > JOB_CACHE_BYTES_MAX))
        evict(cache, cache->oldest);
    if (map_put(&cache->jobs, &job->key, sizeof job->key, job, NULL) != STATUS_OK)
        return;
    link_newest(cache, job);
    cache->text_bytes += job->text_bytes;
    job->references++;
}

/* --- reading a document --- */

static int64_t read_timeout(const cJSON *document, const struct job_spec *spec)
{
    const cJSON *timeout = cJSON_GetObjectItemCaseSensitive(document, "timeout");
    struct error ignored; /* it was checked when the job was saved; the job's default holds where it is absent */
    int64_t ms;
    if (cJSON_IsString(timeout) &&
        duration_parse(timeout->valuestring, strlen(timeout->valuestring), &ms, &ignored) == STATUS_OK)
        return ms;
    return spec->timeout_ms;
}

static bool read_outlives_lease(const cJSON *document)
{
    const cJSON *policy = cJSON_GetObjectItemCaseSensitive(document, "on_lease_loss");
    return cJSON_IsString(policy) && strcmp(policy->valuestring, JOB_LEASE_LOSS_CONTINUE) == 0;
}

static uint32_t read_max_attempts(const cJSON *document, const struct job_spec *spec)
{
    const cJSON *policy = cJSON_GetObjectItemCaseSensitive(document, "retry_policy");
    const cJSON *most = cJSON_GetObjectItemCaseSensitive(policy, "max_attempts");
    if (cJSON_IsNumber(most) && most->valuedouble >= 1 && most->valuedouble <= ATTEMPTS_MAX)
        return (uint32_t)most->valuedouble;
    return spec->retry.max_attempts > 0 ? spec->retry.max_attempts : 1;
}

static enum status read_document(struct job *job, struct bytes text, const struct job_spec *spec, struct error *err)
{
    enum status status = json_parse(text.data, text.size, &job->document, err);
    if (status != STATUS_OK)
        return status == STATUS_NO_MEMORY ? status : error_set(err, STATUS_CORRUPT, "the job's document is not JSON");
    const cJSON *executor = cJSON_GetObjectItemCaseSensitive(job->document, "executor");
    if (!cJSON_IsString(executor) || strlen(executor->valuestring) >= sizeof job->executor)
        return error_set(err, STATUS_CORRUPT, "the job's document names no executor");
    memcpy(job->executor, executor->valuestring, strlen(executor->valuestring) + 1);
    job->config = cJSON_GetObjectItemCaseSensitive(job->document, "config");
    job->timeout_ms = read_timeout(job->document, spec);
    job->max_attempts = read_max_attempts(job->document, spec);
    job->outlives_lease = read_outlives_lease(job->document);
    job->text_bytes = text.size;
    return STATUS_OK;
}

static enum status read_version(struct state_view *view, struct job *job, struct error *err)
{
    struct job_spec spec = {.serial = 0}; /* a job that is gone has none; its document says enough */
    struct bytes text;
    enum status status = state_get_spec(view, job->key.serial, &spec, err);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    status = state_get_version(view, job->key.serial, (uint32_t)job->key.version, &text, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, status, "version %llu of the job is not stored any more", (unsigned long long)job->key.version);
    return status == STATUS_OK ? read_document(job, text, &spec, err) : status;
}

enum status job_cache_get(struct job_cache *cache, const struct state *state, uint64_t serial, uint32_t version,
                          struct job **ret, struct error *err)
{
    struct job wanted = {.key = {serial, version}};
    struct job *job = map_get(&cache->jobs, &wanted.key, sizeof wanted.key);
    if (job != NULL) {
        unlink_job(cache, job);
        link_newest(cache, job);
        job->references++;
        *ret = job;
        return STATUS_OK;
    }
    struct state_view view;
    job = calloc(1, sizeof *job);
    if (job == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a job's document");
    job->key = wanted.key;
    job->references = 1;
    enum status status = state_view_begin(state, &view, err);
    if (status == STATUS_OK) {
        status = read_version(&view, job, err);
        state_view_end(&view);
    }
    if (status != STATUS_OK) {
        job_unref(job);
        return status;
    }
    insert(cache, job);
    *ret = job;
    return STATUS_OK;
}
