/* The header Idempotency-Key: its form, the digests that the state keeps of a request, and who is at it now. */
#include "api/idempotency.h"

#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

static const char header_name[] = "Idempotency-Key";
const char idempotency_replayed[] = "Idempotency-Replayed: true\r\n";

/* The only header of that name: of two it could not be said which one counts. `data` NULL: none. */
static enum status find_key(const struct http_request *request, struct bytes *ret, struct error *err)
{
    struct bytes found = {NULL, 0};
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.size != sizeof header_name - 1 || strncasecmp(header->name.data, header_name, header->name.size) != 0)
            continue;
        if (found.data != NULL)
            return error_set(err, STATUS_MALFORMED, "there is more than one Idempotency-Key header; send one");
        found = header->value;
        if (found.data == NULL)
            found.data = "";
    }
    *ret = found;
    return STATUS_OK;
}

static enum status read_key(const struct http_request *request, struct bytes *ret, struct error *err)
{
    struct bytes key = {NULL, 0};
    enum status status = find_key(request, &key, err);
    if (status != STATUS_OK)
        return status;
    if (key.data != NULL && (key.size == 0 || key.size > IDEMPOTENCY_KEY_MAX))
        return error_set(err, STATUS_MALFORMED, "Idempotency-Key has %zu bytes; 1 to %d are possible", key.size, IDEMPOTENCY_KEY_MAX);
    const uint8_t *bytes = key.data;
    for (size_t i = 0; i < key.size; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return error_set(err, STATUS_MALFORMED,
                             "Idempotency-Key has a byte 0x%02x at place %zu; visible ASCII without spaces is possible: a random UUID is a "
                             "good key", bytes[i], i + 1);
    *ret = key;
    return STATUS_OK;
}

enum status idempotency_check(const struct http_request *request, struct error *err)
{
    struct bytes ignored;
    return read_key(request, &ignored, err);
}

/* SHA-256 of the pieces, each behind its length, so that none can be moved from one to the next. */
static enum status digest_pieces(const struct bytes *pieces, size_t count, uint8_t out[IDEMPOTENCY_DIGEST_SIZE], struct error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t digest[EVP_MAX_MD_SIZE], length[8];
    unsigned size = 0;
    bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; done && i < count; i++) {
        store_le64(length, pieces[i].size);
        done = EVP_DigestUpdate(context, length, sizeof length) == 1 &&
               (pieces[i].size == 0 || EVP_DigestUpdate(context, pieces[i].data, pieces[i].size) == 1);
    }
    done = done && EVP_DigestFinal_ex(context, digest, &size) == 1 && size == IDEMPOTENCY_DIGEST_SIZE;
    EVP_MD_CTX_free(context);
    if (!done)
        return error_set(err, STATUS_IO, "the SHA-256 of a request cannot be computed: OpenSSL refuses");
    memcpy(out, digest, IDEMPOTENCY_DIGEST_SIZE);
    return STATUS_OK;
}

enum status idempotency_read(const struct api *api, const struct http_request *request, int http_status, struct idempotency *ret,
                             bool *ret_given, struct error *err)
{
    struct bytes key;
    const char *principal, *method = http_method_name(request->method);
    *ret_given = false;
    enum status status = read_key(request, &key, err);
    if (status != STATUS_OK || key.data == NULL)
        return status;
    status = bearer_check(api, request, &principal, err); /* again: the name of the token is kept with nobody */
    if (status != STATUS_OK)
        return status;
    *ret = (struct idempotency){.http_status = (uint16_t)http_status};
    memcpy(ret->principal, principal, strlen(principal));
    const struct bytes scope[] = {{principal, strlen(principal)}, {method, strlen(method)}, request->path, key};
    const struct bytes asked[] = {request->query, http_header_get(request, "If-Match"), request->body};
    status = digest_pieces(scope, sizeof scope / sizeof scope[0], ret->key, err);
    if (status == STATUS_OK)
        status = digest_pieces(asked, sizeof asked / sizeof asked[0], ret->request, err);
    *ret_given = status == STATUS_OK;
    return status;
}

enum status idempotency_find(struct state_view *view, const struct idempotency *idempotency, struct idempotency_row *ret,
                             struct error *err)
{
    struct idempotency_row row;
    enum status status = state_get_idempotency(view, idempotency->key, &row, err);
    if (status != STATUS_OK)
        return status;
    if (memcmp(row.request, idempotency->request, sizeof row.request) != 0)
        return idempotency_refused(STATUS_IDEMPOTENCY_KEY_REUSED, err);
    *ret = row;
    return STATUS_OK;
}

enum status idempotency_refused(enum status code, struct error *err)
{
    if (code == STATUS_IDEMPOTENCY_KEYS_FULL)
        return error_set(err, code, "%d idempotency keys of one principal, %d of all, are kept for %d hours each, which is the most there "
                         "can be; repeat the request without a key if it need not be repeatable",
                         IDEMPOTENCY_ROWS_OF_ONE_MAX, IDEMPOTENCY_ROWS_MAX, IDEMPOTENCY_KEPT_HOURS);
    return error_set(err, code, "this Idempotency-Key came with another request on this path within the last %d hours (another body, "
                     "query or If-Match); take a new key for a new request", IDEMPOTENCY_KEPT_HOURS);
}

/* --- under way on this node --- */

bool idempotency_hold(struct operation *operation, const struct idempotency *idempotency)
{
    struct map *keys = &operation->api->keys;
    struct error err;
    memcpy(operation->key, idempotency->key, sizeof operation->key);
    if (map_get(keys, operation->key, sizeof operation->key) != NULL)
        (void)error_set(&err, STATUS_IDEMPOTENCY_KEY_IN_USE, "the request that this Idempotency-Key came with first is still under way "
                        "on this node; repeat it in a second"); /* answered below */
    else if (map_put(keys, operation->key, sizeof operation->key, operation, NULL) != STATUS_OK)
        (void)error_set(&err, STATUS_NO_MEMORY, "out of memory"); /* likewise */
    else
        operation->holds_key = true;
    if (!operation->holds_key)
        operation_refuse(operation, &err);
    return operation->holds_key;
}

void idempotency_release(struct operation *operation)
{
    if (operation->holds_key)
        (void)map_remove(&operation->api->keys, operation->key, sizeof operation->key); /* it is the operation */
    operation->holds_key = false;
}
