#include "run/capture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { DIGEST_SIZE = sizeof ((struct run_report *)0)->output_digest };

struct capture {
    atomic_uint references;
    struct capture_budget *budget;
    pthread_mutex_t lock; /* of all below; a leaf */
    struct buffer kept;
    uint64_t total;
    bool overflowed; /* something was not kept */
    char *tail;      /* the last bytes, from then on; NULL before */
    size_t tail_size, tail_capacity;
    EVP_MD_CTX *digesting; /* NULL: closed */
    uint8_t digest[DIGEST_SIZE];
};

enum status capture_new(struct capture_budget *budget, size_t limit_bytes, size_t tail_bytes, struct capture **ret,
                        struct error *err)
{
    struct capture *capture = calloc(1, sizeof *capture);
    if (capture != NULL)
        capture->digesting = EVP_MD_CTX_new();
    if (capture == NULL || capture->digesting == NULL ||
        EVP_DigestInit_ex(capture->digesting, EVP_sha256(), NULL) != 1) {
        if (capture != NULL)
            EVP_MD_CTX_free(capture->digesting);
        free(capture);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a run's output");
    }
    atomic_init(&capture->references, 1);
    capture->budget = budget;
    capture->tail_capacity = tail_bytes;
    (void)pthread_mutex_init(&capture->lock, NULL); /* glibc's takes no resource that could run out */
    buffer_init(&capture->kept, limit_bytes);
    *ret = capture;
    return STATUS_OK;
}

struct capture *capture_ref(struct capture *capture)
{
    atomic_fetch_add(&capture->references, 1);
    return capture;
}

void capture_unref(struct capture *capture)
{
    if (capture == NULL || atomic_fetch_sub(&capture->references, 1) != 1)
        return;
    atomic_fetch_sub(&capture->budget->kept_bytes, (int64_t)capture->kept.size);
    EVP_MD_CTX_free(capture->digesting);
    buffer_deinit(&capture->kept);
    free(capture->tail);
    (void)pthread_mutex_destroy(&capture->lock);
    free(capture);
}

/* --- writing --- */

static bool reserve(struct capture_budget *budget, size_t size)
{
    int64_t before = atomic_fetch_add(&budget->kept_bytes, (int64_t)size);
    if (before + (int64_t)size <= budget->limit_bytes)
        return true;
    atomic_fetch_sub(&budget->kept_bytes, (int64_t)size);
    return false;
}

/* Bytes kept after others were dropped would be a gap that nobody sees: once something was dropped, all is. */
static size_t keep(struct capture *capture, const void *data, size_t size)
{
    size_t room = capture->kept.limit - capture->kept.size;
    size_t taken = size < room ? size : room;
    if (capture->overflowed || taken == 0 || !reserve(capture->budget, taken))
        return 0;
    buffer_append(&capture->kept, data, taken);
    if (capture->kept.failed != STATUS_OK) {
        capture->kept.failed = STATUS_OK; /* nothing was added; what is kept stays */
        atomic_fetch_sub(&capture->budget->kept_bytes, (int64_t)taken);
        return 0;
    }
    (void)EVP_DigestUpdate(capture->digesting, data, taken); /* fails only without a digest set */
    return taken;
}

static void push_tail(struct capture *capture, const char *data, size_t size)
{
    size_t capacity = capture->tail_capacity;
    if (size > capacity) {
        data += size - capacity;
        size = capacity;
    }
    size_t stays = capture->tail_size < capacity - size ? capture->tail_size : capacity - size;
    memmove(capture->tail, capture->tail + capture->tail_size - stays, stays);
    memcpy(capture->tail + stays, data, size);
    capture->tail_size = stays + size;
}

static void drop(struct capture *capture, const char *data, size_t size)
{
    capture->overflowed = true;
    if (capture->tail == NULL) {
        capture->tail = malloc(capture->tail_capacity + 1);
        if (capture->tail == NULL)
            return; /* tried again with the next bytes; the report's tail is shorter until then */
        if (capture->kept.size > 0)
            push_tail(capture, capture->kept.data, capture->kept.size);
    }
    push_tail(capture, data, size);
}

enum status capture_append(struct capture *capture, const void *data, size_t size)
{
    if (size == 0)
        return STATUS_OK;
    (void)pthread_mutex_lock(&capture->lock);
    bool open = capture->digesting != NULL;
    size_t kept = 0;
    if (open) {
        capture->total += size;
        kept = keep(capture, data, size);
        if (kept < size)
            drop(capture, (const char *)data + kept, size - kept);
    }
    (void)pthread_mutex_unlock(&capture->lock);
    if (!open)
        return STATUS_NOT_FOUND;
    atomic_fetch_add(&capture->budget->total_bytes, size);
    atomic_fetch_add(&capture->budget->dropped_bytes, size - kept);
    return kept == size ? STATUS_OK : STATUS_TOO_LARGE;
}

void capture_close(struct capture *capture)
{
    (void)pthread_mutex_lock(&capture->lock);
    if (capture->digesting != NULL) {
        if (capture->kept.size > 0)
            (void)EVP_DigestFinal_ex(capture->digesting, capture->digest, NULL); /* as above */
        EVP_MD_CTX_free(capture->digesting);
        capture->digesting = NULL;
    }
    (void)pthread_mutex_unlock(&capture->lock);
}

/* --- reading --- */

uint64_t capture_read(struct capture *capture, uint64_t offset, size_t max, struct buffer *out)
{
    (void)pthread_mutex_lock(&capture->lock);
    uint64_t kept = capture->kept.size;
    if (offset < kept) {
        size_t left = (size_t)(kept - offset);
        buffer_append(out, capture->kept.data + offset, left < max ? left : max);
    }
    (void)pthread_mutex_unlock(&capture->lock);
    return kept;
}

struct bytes capture_kept(const struct capture *capture)
{
    return buffer_bytes(&capture->kept);
}

uint64_t capture_total(const struct capture *capture)
{
    return capture->total;
}

bool capture_exceeds(const struct capture *capture, size_t replicated)
{
    return capture->total > replicated || capture->kept.size < capture->total;
}

bool capture_is_text(const struct capture *capture)
{
    const struct buffer *kept = &capture->kept;
    return kept->size == 0 || (utf8_valid(kept->data, kept->size, NULL) && memchr(kept->data, '\0', kept->size) == NULL);
}

/* The last bytes, beginning where a character does. */
static struct bytes last_bytes(const char *data, size_t size, size_t max)
{
    size_t skip = size > max ? size - max : 0;
    for (int i = 0; i < 3 && skip > 0 && skip < size && ((unsigned char)data[skip] & 0xc0) == 0x80; i++)
        skip++;
    return (struct bytes){data + skip, size - skip};
}

void capture_report(const struct capture *capture, size_t replicated, bool stored, struct run_report *report)
{
    const char *data = capture->kept.data;
    size_t size = capture->kept.size;
    report->output_bytes = capture->total;
    report->output_truncated = capture_exceeds(capture, replicated);
    if (!report->output_truncated) {
        report->output_head = buffer_bytes(&capture->kept);
    } else {
        size_t half = replicated / 2;
        size_t head = size > half ? utf8_cut(data, size, half) : size;
        report->output_head = (struct bytes){data, head};
        if (capture->tail != NULL)
            report->output_tail = last_bytes(capture->tail, capture->tail_size, replicated - half);
        else if (size == capture->total)
            report->output_tail = last_bytes(data, size, replicated - half);
    }
    if (stored || !report->output_truncated)
        memcpy(report->output_digest, capture->digest, DIGEST_SIZE);
}
