#include "transport/tls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { RECORD_MAX = 16 * 1024, RECEIVE_MAX = 64 * 1024 };

struct tls_context {
    SSL_CTX *ssl;
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out; /* owned by `ssl` */
    bool failed;   /* nothing may be called any more (SSL_get_error(3)) */
};

/* --- errors --- */

/* Of an error that OpenSSL has queued; empties the queue. */
static const char *text_of(unsigned long code)
{
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text != NULL ? text : "no reason given";
}

static const char *reason(void)
{
    return text_of(ERR_peek_last_error());
}

/* Each layer queues its own word after that of the one below. */
static const char *first_reason(void)
{
    return text_of(ERR_peek_error());
}

static enum status session_failed(struct tls_session *session, struct error *err)
{
    long verified = SSL_get_verify_result(session->ssl);
    const char *why = reason();
    session->failed = true;
    if (verified != X509_V_OK)
        return error_set(err, STATUS_UNAUTHENTICATED, "its certificate is refused: %s", X509_verify_cert_error_string(verified));
    return error_set(err, STATUS_UNAUTHENTICATED, "TLS: %s", why);
}

/* --- contexts --- */

static const char cert_key[] = "cluster.raft.tls.cert_file", key_key[] = "cluster.raft.tls.key_file",
                  ca_key[] = "cluster.raft.tls.ca_file";

/* What the system says of a file, OpenSSL calls "system lib". Nor must a pipe, which nobody writes to, keep the node waiting. */
static enum status check_file(const char *key, const char *path, struct error *err)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int failed = fd < 0 || fstat(fd, &file) != 0 ? errno : S_ISDIR(file.st_mode) ? EISDIR : 0;
    bool is_regular = failed == 0 && S_ISREG(file.st_mode);
    if (fd >= 0)
        (void)close(fd); /* nothing was written */
    if (failed == 0 && !is_regular)
        return error_set_field(err, STATUS_INVALID, key, "%s: %s: not a regular file", key, path);
    bool may_pass = failed == EMFILE || failed == ENFILE || failed == EIO || failed == EINTR;
    return failed == 0 ? STATUS_OK
                       : error_set_field(err, may_pass ? STATUS_IO : STATUS_INVALID, key, "%s: %s: %s", key, path, strerror(failed));
}

static enum status check_files(const struct tls_files *files, struct error *err)
{
    enum status status = check_file(cert_key, files->cert_file, err);
    if (status == STATUS_OK)
        status = check_file(key_key, files->key_file, err);
    return status == STATUS_OK ? check_file(ca_key, files->ca_file, err) : status;
}

static enum status content_failed(struct error *err, const char *key, const char *path, const char *expected)
{
    return error_set_field(err, STATUS_INVALID, key, "%s: %s: holds no %s that can be used: %s", key, path, expected, first_reason());
}

/* The key goes first: a certificate of another one takes its place then, whatever kinds the two are, and that is asked at the end. */
static enum status load(SSL_CTX *ssl, const struct tls_files *files, struct error *err)
{
    if (SSL_CTX_use_PrivateKey_file(ssl, files->key_file, SSL_FILETYPE_PEM) != 1)
        return content_failed(err, key_key, files->key_file, "private key (PEM, without a passphrase)");
    if (SSL_CTX_use_certificate_chain_file(ssl, files->cert_file) != 1)
        return content_failed(err, cert_key, files->cert_file, "certificate (PEM)");
    if (SSL_CTX_check_private_key(ssl) != 1)
        return error_set_field(err, STATUS_INVALID, key_key, "%s: %s: is not the key of cert_file %s", key_key, files->key_file,
                               files->cert_file);
    if (SSL_CTX_load_verify_locations(ssl, files->ca_file, NULL) != 1)
        return content_failed(err, ca_key, files->ca_file, "certificate (PEM)");
    return STATUS_OK;
}

static bool configure(SSL_CTX *ssl)
{
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* gives the old mode */
    /* A link that waits costs no buffers; a write that was cut short may be repeated from another place. */
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(ssl, 0) == 1;
}

/* Never ask on a terminal for the passphrase of a key. */
static int no_passphrase(char *out, int size, int is_writing, void *arg)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

enum status tls_context_new(const struct tls_files *files, struct tls_context **ret, struct error *err)
{
    struct tls_context *context = calloc(1, sizeof *context);
    ERR_clear_error();
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());
    enum status status = STATUS_OK;
    if (context == NULL || ssl == NULL || !configure(ssl))
        status = error_set(err, STATUS_NO_MEMORY, "set up TLS: %s", reason());
    if (status == STATUS_OK) {
        SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
        status = check_files(files, err);
        if (status == STATUS_OK)
            status = load(ssl, files, err);
    }
    if (status != STATUS_OK) {
        ERR_clear_error();
        SSL_CTX_free(ssl);
        free(context);
        return status;
    }
    context->ssl = ssl;
    *ret = context;
    return STATUS_OK;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ssl);
    free(context);
}

int64_t tls_context_expires_s(const struct tls_context *context)
{
    struct tm at;
    const X509 *own = SSL_CTX_get0_certificate(context->ssl);
    return ASN1_TIME_to_tm(X509_get0_notAfter(own), &at) == 1 ? (int64_t)timegm(&at) : 0;
}

/* --- sessions --- */

enum status tls_session_new(struct tls_context *context, bool is_client, struct tls_session **ret, struct error *err)
{
    struct tls_session *session = calloc(1, sizeof *session);
    ERR_clear_error();
    SSL *ssl = SSL_new(context->ssl);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (session == NULL || ssl == NULL || in == NULL || out == NULL) {
        free(session);
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return error_set(err, STATUS_NO_MEMORY, "begin a TLS session: %s", reason());
    }
    (void)BIO_set_mem_eof_return(in, -1); /* empty means: later, not the end */
    (void)BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    if (is_client)
        SSL_set_connect_state(ssl);
    else
        SSL_set_accept_state(ssl);
    *session = (struct tls_session){.ssl = ssl, .in = in, .out = out};
    *ret = session;
    return STATUS_OK;
}

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}

bool tls_session_is_ready(const struct tls_session *session)
{
    return !session->failed && SSL_is_init_finished(session->ssl);
}

/* After every call into OpenSSL: also reads and failures leave something to be sent. */
static enum status flush(struct tls_session *session, struct buffer *wire, struct error *err)
{
    char *data = NULL;
    long size = BIO_get_mem_data(session->out, &data);
    if (size > 0)
        buffer_append(wire, data, (size_t)size);
    (void)BIO_reset(session->out); /* of a memory BIO: cannot fail */
    return wire->failed == STATUS_OK ? STATUS_OK : error_set(err, wire->failed, "no room for what TLS has to send");
}

/* One record, or the next step of the handshake. *ret_more: there can be another. */
static enum status step(struct tls_session *session, struct buffer *plain, bool *ret_more, bool *ret_ended, struct error *err)
{
    void *room = buffer_reserve(plain, RECORD_MAX);
    if (room == NULL)
        return error_set(err, plain->failed, "no room for what a peer sends");
    ERR_clear_error();
    int size = SSL_read(session->ssl, room, RECORD_MAX);
    *ret_more = size > 0;
    if (size > 0) {
        buffer_commit(plain, (size_t)size);
        return STATUS_OK;
    }
    switch (SSL_get_error(session->ssl, size)) {
    case SSL_ERROR_WANT_READ:
        return STATUS_OK;
    case SSL_ERROR_ZERO_RETURN:
        *ret_ended = true;
        return STATUS_OK;
    default:
        return session_failed(session, err);
    }
}

enum status tls_session_receive(struct tls_session *session, struct bytes received, struct buffer *plain, struct buffer *wire,
                                bool *ret_ended, struct error *err)
{
    struct error later;
    bool more = true;
    assert(received.size <= RECEIVE_MAX && !session->failed);
    *ret_ended = false;
    if (received.size > 0 && BIO_write(session->in, received.data, (int)received.size) != (int)received.size)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status status = STATUS_OK;
    while (more && status == STATUS_OK)
        status = step(session, plain, &more, ret_ended, err);
    enum status flushed = flush(session, wire, status == STATUS_OK ? err : &later);
    return status == STATUS_OK ? flushed : status;
}

enum status tls_session_send(struct tls_session *session, struct bytes plain, struct buffer *wire, struct error *err)
{
    const char *at = plain.data;
    assert(tls_session_is_ready(session));
    for (size_t left = plain.size; left > 0;) {
        ERR_clear_error();
        int size = SSL_write(session->ssl, at, (int)(left < RECORD_MAX ? left : RECORD_MAX));
        if (size <= 0)
            return session_failed(session, err); /* a memory BIO takes everything: this is no WANT_WRITE */
        at += size;
        left -= (size_t)size;
        enum status status = flush(session, wire, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

bool tls_session_names(const struct tls_session *session, const char *host)
{
    X509 *peer = SSL_get0_peer_certificate(session->ssl);
    if (peer == NULL || host[0] == '\0')
        return false;
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    return X509_check_host(peer, host, 0, flags, NULL) == 1 || X509_check_ip_asc(peer, host, 0) == 1;
}
