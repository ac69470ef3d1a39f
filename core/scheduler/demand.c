/* What runs ask of a node, and the queues of those that wait for one. */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/scheduler_internal.h"

void demands_init(struct scheduler *s)
{
    map_init(&s->demands);
    heap_init(&s->waiting[0]);
    heap_init(&s->waiting[1]);
}

void demands_deinit(struct scheduler *s)
{
    uint32_t cursor = 0;
    struct demand *demand;
    heap_deinit(&s->waiting[0]); /* while the queues in it live: it marks them as taken out */
    heap_deinit(&s->waiting[1]);
    while ((demand = map_next(&s->demands, &cursor)) != NULL)
        free(demand);
    map_deinit(&s->demands);
}

/* --- each kept once --- */

enum { DEMAND_KEY_MAX = 1 + NODE_TEXT_SIZE + EXECUTOR_TEXT_SIZE + NODE_TAGS_MAX * NODE_TAG_TEXT_SIZE };

struct demand_key {
    size_t size;
    char bytes[DEMAND_KEY_MAX];
};

static void key_add(struct demand_key *key, const void *bytes, size_t size)
{
    assert(size <= sizeof key->bytes - key->size); /* the decoders of rows hold each part to its limit */
    memcpy(key->bytes + key->size, bytes, size);
    key->size += size;
}

static void key_add_text(struct demand_key *key, const char *text)
{
    key_add(key, text, strlen(text) + 1);
}

/* A new reference; NULL: out of memory. */
static struct demand *demand_ref(struct scheduler *s, const struct demand_key *key)
{
    struct demand *demand = map_get(&s->demands, key->bytes, key->size);
    if (demand != NULL) {
        demand->references++;
        return demand;
    }
    if (heap_reserve(&s->waiting[0], s->demands.count + 1) || heap_reserve(&s->waiting[1], s->demands.count + 1))
        return NULL;
    demand = calloc(1, sizeof *demand + key->size);
    if (demand == NULL)
        return NULL;
    memcpy(demand->key, key->bytes, key->size);
    demand->key_size = key->size;
    demand->references = 1;
    if (map_put(&s->demands, demand->key, demand->key_size, demand, NULL) != STATUS_OK) {
        free(demand);
        return NULL;
    }
    return demand;
}

struct demand *demand_of_job(struct scheduler *s, const struct job_spec *spec)
{
    struct demand_key key = {.size = 0};
    char placement = (char)spec->placement;
    key_add(&key, &placement, 1);
    key_add_text(&key, "");
    key_add_text(&key, spec->executor);
    for (uint32_t i = 0; i < spec->node_tag_count; i++)
        key_add_text(&key, spec->node_tags[i]);
    return demand_ref(s, &key);
}

bool demand_is_for_all(const struct demand *demand)
{
    return demand->key[0] == PLACEMENT_ALL;
}

static const char *node_of(const struct demand *demand)
{
    return demand->key + 1;
}

static const char *executor_of(const struct demand *demand)
{
    const char *node = node_of(demand);
    return node + strlen(node) + 1;
}

static const char *first_tag(const struct demand *demand)
{
    const char *executor = executor_of(demand);
    return executor + strlen(executor) + 1;
}

struct demand *demand_of_run(struct scheduler *s, const struct job *job, const char *executor, const char *node)
{
    struct demand_key key = {.size = 0};
    bool is_free = job != NULL && node[0] == '\0'; /* one that is pinned is that node's, whatever the job or its tags say by now */
    char placement = is_free ? job->demand->key[0] : PLACEMENT_ANY;
    key_add(&key, &placement, 1);
    key_add_text(&key, node);
    key_add_text(&key, executor);
    if (is_free) {
        const char *tags = first_tag(job->demand), *end = job->demand->key + job->demand->key_size;
        key_add(&key, tags, (size_t)(end - tags));
    }
    return demand_ref(s, &key);
}

void demand_release(struct scheduler *s, struct demand *demand)
{
    if (demand == NULL || --demand->references > 0)
        return;
    assert(demand->queues[0].runs.count == 0 && demand->queues[1].runs.count == 0); /* each of its runs would refer to it */
    (void)map_remove(&s->demands, demand->key, demand->key_size); /* what it gives is freed here */
    free(demand);
}

static void ask_for(struct scheduler *s, struct run *run, struct demand *demand)
{
    run_unlist(s, run);
    demand_release(s, run->demand);
    run->demand = demand;
}

enum status run_pin(struct scheduler *s, struct run *run, const char *node)
{
    if (strcmp(node_of(run->demand), node) == 0)
        return STATUS_OK;
    struct demand *demand = demand_of_run(s, run->job, executor_of(run->demand), node);
    if (demand == NULL)
        return STATUS_NO_MEMORY;
    ask_for(s, run, demand);
    return STATUS_OK;
}

enum status job_set_demand(struct scheduler *s, struct job *job, const struct job_spec *spec)
{
    struct demand *before = job->demand, *demand = demand_of_job(s, spec);
    if (demand == NULL)
        return STATUS_NO_MEMORY;
    job->demand = demand;
    for (struct run *run = job->runs; run != NULL && demand != before; run = run->job_next) {
        struct demand *changed = demand_of_run(s, job, executor_of(run->demand), node_of(run->demand));
        if (changed == NULL)
            return STATUS_NO_MEMORY;
        ask_for(s, run, changed);
        run_classify(s, run);
    }
    demand_release(s, before);
    return STATUS_OK;
}

/* --- which nodes answer it --- */

static bool has_text(const char *text, const char *texts, size_t text_size, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(texts + i * text_size, text) == 0)
            return true;
    return false;
}

/* Who does not lead does not know whom the leader would choose: it may be any. */
static bool answers(const struct scheduler *s, const struct node *node, const struct demand *demand)
{
    const char *end = demand->key + demand->key_size;
    if (demand->key[0] == PLACEMENT_LEADER && s->leading && strcmp(node->name, s->node_id) != 0)
        return false;
    if (node_of(demand)[0] != '\0' && strcmp(node_of(demand), node->name) != 0)
        return false;
    if (!has_text(executor_of(demand), (const char *)node->executors, sizeof node->executors[0], node->executor_count))
        return false;
    for (const char *tag = first_tag(demand); tag < end; tag += strlen(tag) + 1)
        if (!has_text(tag, (const char *)node->tags, sizeof node->tags[0], node->tag_count))
            return false;
    return true;
}

static_assert(COMMAND_NODES_MAX <= 32, "a node is a bit");

uint32_t demand_nodes(const struct scheduler *s, struct demand *demand)
{
    if (demand->nodes_version == s->nodes_version)
        return demand->nodes;
    demand->nodes_version = s->nodes_version;
    demand->nodes = 0;
    for (uint32_t i = 0; i < s->node_count; i++)
        demand->nodes |= (uint32_t)answers(s, &s->nodes[i], demand) << i;
    return demand->nodes;
}

/* --- those that wait --- */

static bool is_catchup(const struct run *run)
{
    return run->trigger == TRIGGER_CATCHUP;
}

void queue_settle(struct scheduler *s, struct run_queue *queue, bool catchup)
{
    struct heap *waiting = &s->waiting[catchup];
    if (queue->runs.head == NULL) {
        heap_remove(waiting, &queue->turn);
        return;
    }
    enum status status = heap_set(waiting, &queue->turn, queue->runs.head->ticket);
    assert(status == STATUS_OK); /* room was reserved when the demand was made */
}

struct run_queue *queue_first(const struct scheduler *s, bool catchup)
{
    struct heap_node *top = heap_peek(&s->waiting[catchup]);
    return top == NULL ? NULL : (struct run_queue *)((char *)top - offsetof(struct run_queue, turn));
}

void run_enqueue(struct scheduler *s, struct run *run)
{
    struct run_queue *queue = &run->demand->queues[is_catchup(run)];
    run->ticket = ++s->tickets;
    run_list_push(&queue->runs, run);
    queue_settle(s, queue, is_catchup(run));
    expiry_watch(s, run);
}

void run_unlist(struct scheduler *s, struct run *run)
{
    struct run_queue *queue = &run->demand->queues[is_catchup(run)];
    bool was_queued = run->list == &queue->runs;
    run_list_remove(run);
    heap_remove(&s->expiries, &run->expiry);
    if (was_queued)
        queue_settle(s, queue, is_catchup(run));
}

uint32_t demands_count_waiting(const struct scheduler *s)
{
    uint32_t count = 0;
    for (int c = 0; c < 2; c++)
        for (uint32_t i = 0; i < s->waiting[c].count; i++) {
            const char *turn = (const char *)s->waiting[c].nodes[i];
            count += ((const struct run_queue *)(turn - offsetof(struct run_queue, turn)))->runs.count;
        }
    return count;
}
