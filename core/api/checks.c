/* What an executor itself says of a job's config, off the loop: its validate is [pool]. One trip to libuv's pool at a time, and
 * it takes all that wait: a loaded server pays for the trip once for many jobs. Executors that promise to be quick are asked
 * where the request is (docs/adr 0010). */
#include <stdlib.h>

#include "api/api_internal.h"
#include "base/limits.h"

struct check {
    struct check *next;
    struct operation *operation; /* ends by us alone while we have it */
    check_answered answered;
    const char *executor, *job_name;
    struct plugin_params params;
    enum status status;
    struct error err;
};

static void run_checks(uv_work_t *work)
{
    struct api *api = work->data;
    for (struct check *check = api->checks.running; check != NULL; check = check->next)
        check->status = runner_validate(api->config.runner, check->executor, check->params.items, check->params.count,
                                        check->job_name, &check->err);
}

static void end_check(struct api *api, struct check *check)
{
    if (api->server != NULL)
        check->answered(check->operation, check->status, &check->err);
    else /* closed meanwhile: nobody waits, and the cluster takes no more */
        operation_end(check->operation);
    plugin_params_deinit(&check->params);
    free(check);
}

static void on_checked(uv_work_t *work, int cancelled);

static void start_checks(struct api *api)
{
    api->checks.running = api->checks.waiting;
    api->checks.waiting = NULL;
    api->checks.waiting_count = 0;
    (void)uv_queue_work(api->config.loop, &api->checks.work, run_checks, on_checked); /* fails only without a function */
}

static void on_checked(uv_work_t *work, int cancelled)
{
    struct api *api = work->data;
    struct check *next = api->checks.running;
    (void)cancelled; /* never asked for */
    api->checks.running = NULL;
    if (api->checks.waiting != NULL)
        start_checks(api); /* the pool works on while these are proposed */
    for (struct check *check; (check = next) != NULL;) {
        next = check->next;
        end_check(api, check);
    }
}

/* Before the loop waits again: what came with one turn goes together. */
static void on_turn(uv_prepare_t *turn)
{
    struct api *api = turn->data;
    (void)uv_prepare_stop(turn); /* cannot fail */
    if (api->checks.running == NULL && api->checks.waiting != NULL)
        start_checks(api);
}

void checks_init(struct api *api)
{
    (void)uv_prepare_init(api->config.loop, &api->checks.turn); /* cannot fail */
    api->checks.turn.data = api->checks.work.data = api;
}

void checks_close(struct api *api)
{
    if (!uv_is_closing((uv_handle_t *)&api->checks.turn))
        uv_close((uv_handle_t *)&api->checks.turn, NULL);
    if (api->checks.running == NULL && api->checks.waiting != NULL)
        start_checks(api); /* they end as those that run */
}

enum status check_start(struct operation *operation, const char *executor, struct plugin_params *params,
                        const char *job_name, check_answered answered, struct error *err)
{
    struct api *api = operation->api;
    if (api->checks.waiting_count == API_CHECKS_MAX)
        return error_set(err, STATUS_OVERLOADED, "too many jobs are being checked already; try again in a second");
    struct check *check = malloc(sizeof *check);
    if (check == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *check = (struct check){.operation = operation, .answered = answered, .executor = executor, .job_name = job_name,
                            .params = *params};
    *params = (struct plugin_params){.count = 0};
    if (api->checks.waiting == NULL)
        api->checks.tail = &api->checks.waiting;
    *api->checks.tail = check;
    api->checks.tail = &check->next;
    api->checks.waiting_count++;
    (void)uv_prepare_start(&api->checks.turn, on_turn); /* cannot fail with a callback */
    return STATUS_OK;
}
