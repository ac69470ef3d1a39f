/* The server's life: slots and tokens, the deadline tick, draining and closing. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/internal.h"

/* --- lists --- */

void list_init(struct list *l)
{
    l->next = l->previous = l;
}

void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

void list_append(struct list *l, struct list *node)
{
    list_remove(node);
    node->previous = l->previous;
    node->next = l;
    l->previous->next = node;
    l->previous = node;
}

bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

#define CONNECTION_OF(link_, member) \
    ((struct connection *)(void *)((char *)(link_) - offsetof(struct connection, member)))

/* --- slots and tokens --- */

static bool slots_grow(struct http_server *server)
{
    uint32_t count = server->slot_count == 0 ? 64 : server->slot_count * 2;
    struct slot *slots = realloc(server->slots, count * sizeof *slots);
    if (slots == NULL)
        return false;
    for (uint32_t i = server->slot_count; i < count; i++)
        slots[i] = (struct slot){.next_free = i + 1};
    server->slots = slots;
    server->slot_free = server->slot_count;
    server->slot_count = count;
    return true;
}

bool server_slot_take(struct http_server *server, struct connection *connection)
{
    if (server->slot_free == server->slot_count && !slots_grow(server))
        return false;
    connection->slot = server->slot_free;
    struct slot *slot = &server->slots[connection->slot];
    server->slot_free = slot->next_free;
    slot->connection = connection;
    return true;
}

void server_slot_give(struct http_server *server, struct connection *connection)
{
    struct slot *slot = &server->slots[connection->slot];
    assert(slot->connection == connection);
    slot->connection = NULL;
    slot->generation++;
    slot->next_free = server->slot_free;
    server->slot_free = connection->slot;
}

static struct connection *find_waiting(const struct http_server *server, struct http_token token)
{
    if (token.slot >= server->slot_count || server->slots[token.slot].generation != token.generation)
        return NULL;
    struct connection *connection = server->slots[token.slot].connection;
    return connection != NULL && connection->state == CONNECTION_WAITING ? connection : NULL;
}

bool http_token_live(const struct http_server *server, struct http_token token)
{
    return find_waiting(server, token) != NULL;
}

void http_respond(struct http_server *server, struct http_token token, const struct http_response *response)
{
    struct connection *connection = find_waiting(server, token);
    if (connection == NULL) {
        free(response->body_owned);
        if (response->has_file)
            (void)close(response->file); /* it was only read */
        return;
    }
    connection_answer(connection, response);
}

/* --- the tick --- */

static void expire_in_order(struct http_server *server, enum connection_state state, uint64_t now)
{
    struct list *l = &server->deadlines[state];
    while (!list_is_empty(l)) {
        struct connection *connection = CONNECTION_OF(l->next, deadline_link);
        if (connection->deadline_ms > now)
            return;
        connection_expire(connection); /* leaves the list or goes to its end with a later deadline */
    }
}

/* Deadlines of bodies and writes move with progress, so these lists have no order; they are short. */
static void expire_bodies(struct http_server *server, uint64_t now)
{
    struct list *l = &server->deadlines[CONNECTION_BODY];
    for (struct list *at = l->next, *next; at != l; at = next) {
        struct connection *connection = CONNECTION_OF(at, deadline_link);
        next = at->next;
        if (connection->deadline_ms + connection->body.size * 1000 / HTTP_BODY_RATE_MIN <= now)
            connection_expire(connection);
    }
}

static void expire_writes(struct http_server *server, uint64_t now)
{
    struct list *l = &server->write_deadlines;
    for (struct list *at = l->next, *next; at != l; at = next) {
        struct connection *connection = CONNECTION_OF(at, write_link);
        next = at->next;
        if (connection->write_deadline_ms <= now)
            connection_write_expire(connection);
    }
}

static void tick(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    uint64_t now = uv_now(server->config.loop);
    if (server->is_accept_owed)
        listeners_retry(server);
    expire_in_order(server, CONNECTION_IDLE, now);
    expire_in_order(server, CONNECTION_HEADER, now);
    expire_in_order(server, CONNECTION_DRAINING, now);
    expire_bodies(server, now);
    expire_writes(server, now);
}

void server_start_tick(struct http_server *server)
{
    if (server->is_tick_running || server->is_closing)
        return;
    server->is_tick_running = true;
    (void)uv_timer_start(&server->tick, tick, TICK_MS, TICK_MS); /* fails only for a closing handle or no callback */
}

/* --- connections whose next request may be parsed --- */

static void run_ready(uv_idle_t *idle)
{
    struct http_server *server = idle->data;
    struct list now; /* what becomes ready meanwhile has its turn in the next round of the loop */
    list_init(&now);
    while (!list_is_empty(&server->ready))
        list_append(&now, server->ready.next);
    while (!list_is_empty(&now)) {
        struct connection *connection = CONNECTION_OF(now.next, ready_link);
        list_remove(&connection->ready_link);
        connection_resume(connection);
    }
    if (list_is_empty(&server->ready))
        (void)uv_idle_stop(idle); /* always 0 */
}

void server_make_ready(struct http_server *server, struct connection *connection)
{
    if (!list_is_empty(&connection->ready_link))
        return;
    list_append(&server->ready, &connection->ready_link);
    if (!server->is_closing)
        (void)uv_idle_start(&server->resume, run_ready); /* fails only without a callback */
}

/* --- life --- */

static bool limits_are_sound(const struct http_limits *l)
{
    return l->header_timeout_ms > 0 && l->body_timeout_ms > 0 && l->idle_timeout_ms > 0 && l->write_timeout_ms > 0 &&
           l->max_connections > 0 && l->max_connections_per_ip > 0;
}

static void server_init(struct http_server *server, const struct http_server_config *config)
{
    server->config = *config;
    for (int i = 0; i < CONNECTION_STATE_COUNT; i++)
        list_init(&server->deadlines[i]);
    list_init(&server->write_deadlines);
    list_init(&server->ready);
    map_init(&server->addresses);
    /* A batch is flushed at BATCH_FLUSH_SIZE; the rest is room for the one answer that crosses it. */
    buffer_init(&server->batch, 1 << 20);
    buffer_init(&server->single, 1 << 20);
    buffer_init(&server->problem, 64 * 1024);
    id_source_init(&server->ids, 0);
    server->date_second = INT64_MIN;
}

enum status http_server_new(const struct http_server_config *config, struct http_server **ret, struct error *err)
{
    assert(config->loop != NULL && config->handler != NULL);
    if (!limits_are_sound(&config->limits))
        return error_set(err, STATUS_INVALID, "HTTP limits: time-outs and connection counts must be above zero");
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return error_set(err, STATUS_NO_MEMORY, "HTTP server: out of memory");
    server_init(server, config);
    (void)uv_timer_init(config->loop, &server->tick); /* both always 0 */
    (void)uv_idle_init(config->loop, &server->resume);
    server->tick.data = server->resume.data = server;
    server->handle_count = 2;
    *ret = server;
    return STATUS_OK;
}

void http_server_drain(struct http_server *server)
{
    if (server->is_draining || server->is_closing)
        return;
    server->is_draining = true;
    listeners_close(server);
    for (uint32_t i = 0; i < server->slot_count; i++) {
        if (server->slots[i].connection != NULL)
            connection_drain(server->slots[i].connection);
    }
}

static void server_free(struct http_server *server)
{
    map_deinit(&server->addresses);
    buffer_deinit(&server->batch);
    buffer_deinit(&server->single);
    buffer_deinit(&server->problem);
    free(server->slots);
    free(server);
}

void server_handle_closed(struct http_server *server)
{
    assert(server->handle_count > 0);
    server->handle_count--;
    if (server->stats.connections_open == 0 && server->is_tick_running && !server->is_accept_owed &&
        !server->is_closing) {
        server->is_tick_running = false; /* an idle daemon does not wake up */
        (void)uv_timer_stop(&server->tick); /* always 0 */
    }
    if (server->handle_count > 0)
        return;
    server->closed(server->closed_arg);
    server_free(server);
}

static void own_handle_closed(uv_handle_t *handle)
{
    server_handle_closed(handle->data);
}

void http_server_close(struct http_server *server, void (*closed)(void *arg), void *arg)
{
    assert(!server->is_closing && closed != NULL);
    server->is_closing = true;
    server->closed = closed;
    server->closed_arg = arg;
    listeners_close(server);
    for (uint32_t i = 0; i < server->slot_count; i++) {
        if (server->slots[i].connection != NULL)
            connection_close(server->slots[i].connection);
    }
    uv_close((uv_handle_t *)&server->tick, own_handle_closed);
    uv_close((uv_handle_t *)&server->resume, own_handle_closed);
}

void http_server_stats(const struct http_server *server, struct http_stats *ret)
{
    *ret = server->stats;
}
