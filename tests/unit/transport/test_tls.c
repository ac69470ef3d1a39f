#include "transport/tls.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "../base/check.h"
#include "certificates.h"

enum { WIRE_MAX = 1 << 20, STEP_MAX = 64 * 1024 };

struct end {
    struct tls_context *context;
    struct tls_session *session;
    struct buffer plain, wire;
    bool has_ended;
    enum status status;
    struct error err;
};

static void end_init(struct end *end, const struct certificate_files *files, bool is_client)
{
    struct error err;
    struct tls_files tls = certificate_tls(files);
    *end = (struct end){.status = STATUS_OK};
    buffer_init(&end->plain, WIRE_MAX);
    buffer_init(&end->wire, WIRE_MAX);
    if (tls_context_new(&tls, &end->context, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(tls_session_new(end->context, is_client, &end->session, &err), STATUS_OK);
}

static void end_deinit(struct end *end)
{
    tls_session_free(end->session);
    tls_context_free(end->context);
    buffer_deinit(&end->plain);
    buffer_deinit(&end->wire);
}

static void receive(struct end *end, const void *data, size_t size)
{
    if (end->status == STATUS_OK)
        end->status = tls_session_receive(end->session, (struct bytes){data, size}, &end->plain, &end->wire, &end->has_ended,
                                          &end->err);
}

/* Everything that waits, in pieces. */
static void carry(struct end *from, struct end *to, size_t piece)
{
    while (from->wire.size > 0) {
        size_t size = from->wire.size < piece ? from->wire.size : piece;
        receive(to, from->wire.data, size);
        buffer_consume(&from->wire, size);
    }
}

static void talk(struct end *client, struct end *server, size_t piece)
{
    receive(client, NULL, 0);
    for (int turn = 0; turn < 5; turn++) {
        carry(client, server, piece);
        carry(server, client, piece);
    }
}

struct pair {
    struct end client, server;
};

static struct pair *pair_new(const struct certificate_files *client, const struct certificate_files *server, size_t piece)
{
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    end_init(&pair->client, client, true);
    end_init(&pair->server, server, false);
    talk(&pair->client, &pair->server, piece);
    return pair;
}

static void pair_free(struct pair *pair)
{
    end_deinit(&pair->client);
    end_deinit(&pair->server);
    free(pair);
}

static struct certificate_files one, two, foreign, expired, early, locked;

static int make_certificates(void **state)
{
    (void)state;
    certificates_begin();
    certificate_authority("ca");
    certificate_authority("other-ca");
    certificate_make("ca", "DNS:chronos-1,IP:127.0.0.1,IP:::1", 10, NULL, &one);
    certificate_make("ca", "DNS:*.chronos.example,DNS:f*o.example", 10, NULL, &two);
    certificate_make("other-ca", "DNS:chronos-1", 10, NULL, &foreign);
    certificate_make("ca", "DNS:chronos-1", -1, NULL, &expired);
    certificate_make("ca", NULL, 10, NULL, &early);
    certificate_make("ca", NULL, 10, "secret", &locked);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    certificates_end();
    return 0;
}

static void send_text(struct end *from, struct end *to, const char *text, size_t size)
{
    struct error err;
    assert_int_equal(tls_session_send(from->session, (struct bytes){text, size}, &from->wire, &err), STATUS_OK);
    carry(from, to, STEP_MAX);
    assert_int_equal(to->status, STATUS_OK);
    assert_int_equal(to->plain.size, size);
    assert_memory_equal(to->plain.data, text, size);
    buffer_clear(&to->plain);
}

static void both_ways(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, STEP_MAX};
    char *large = malloc(300000);
    (void)state;
    assert_non_null(large);
    for (size_t i = 0; i < 300000; i++)
        large[i] = (char)(i * 7);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct pair *pair = pair_new(&one, &two, pieces[i]);
        assert_int_equal(pair->client.status, STATUS_OK);
        assert_int_equal(pair->server.status, STATUS_OK);
        assert_true(tls_session_is_ready(pair->client.session) && tls_session_is_ready(pair->server.session));
        send_text(&pair->client, &pair->server, "hello", 5);
        send_text(&pair->server, &pair->client, large, 300000);
        assert_false(pair->client.has_ended || pair->server.has_ended);
        pair_free(pair);
    }
    free(large);
}

static void whose_certificate(void **state)
{
    (void)state;
    struct pair *pair = pair_new(&one, &two, STEP_MAX);
    const struct tls_session *by_server = pair->server.session, *by_client = pair->client.session;
    assert_true(tls_session_names(by_server, "chronos-1"));
    assert_true(tls_session_names(by_server, "CHRONOS-1"));
    assert_true(tls_session_names(by_server, "127.0.0.1"));
    assert_true(tls_session_names(by_server, "::1"));
    assert_false(tls_session_names(by_server, "127.0.0.2"));
    assert_false(tls_session_names(by_server, "chronos-2"));
    assert_false(tls_session_names(by_server, "chronos-1.example"));
    assert_false(tls_session_names(by_server, ""));
    assert_true(tls_session_names(by_client, "a.chronos.example"));
    assert_false(tls_session_names(by_client, "chronos.example"));
    assert_false(tls_session_names(by_client, "foo.example")); /* no partial wildcards */
    pair_free(pair);
    pair = pair_new(&early, &two, STEP_MAX);
    assert_int_equal(pair->server.status, STATUS_OK);
    assert_false(tls_session_names(pair->server.session, "node-5")); /* a subject's CN names nobody */
    pair_free(pair);
}

/* The refused side learns why from the alert. */
static void who_is_refused(void **state)
{
    (void)state;
    struct pair *pair = pair_new(&foreign, &one, STEP_MAX);
    assert_int_equal(pair->client.status, STATUS_UNAUTHENTICATED); /* it does not know the server's authority */
    assert_non_null(strstr(pair->client.err.message, "certificate"));
    assert_int_equal(pair->server.status, STATUS_UNAUTHENTICATED);
    pair_free(pair);
    pair = pair_new(&expired, &one, STEP_MAX);
    assert_int_equal(pair->server.status, STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(pair->server.err.message, "expired"));
    assert_int_equal(pair->client.status, STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(pair->client.err.message, "expired"));
    pair_free(pair);
    pair = pair_new(&one, &expired, STEP_MAX);
    assert_non_null(strstr(pair->client.err.message, "expired"));
    pair_free(pair);
}

static void who_speaks_older_tls_or_none(void **state)
{
    struct end server;
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION), 1);
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    assert_int_equal(SSL_connect(ssl), -1);
    char *data = NULL;
    long size = BIO_get_mem_data(out, &data);
    end_init(&server, &one, false);
    receive(&server, data, (size_t)size);
    assert_int_equal(server.status, STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(server.err.message, "protocol"));
    end_deinit(&server);
    SSL_free(ssl);
    SSL_CTX_free(context);
    end_init(&server, &one, false);
    static const char plain[] = "CHRN\x01\x01 a plain frame, as a node without TLS sends it";
    receive(&server, plain, sizeof plain);
    assert_int_equal(server.status, STATUS_UNAUTHENTICATED);
    end_deinit(&server);
}

static void a_flipped_bit_ends_it(void **state)
{
    struct error err;
    (void)state;
    for (size_t at = 0; at < 60; at++) {
        struct pair *pair = pair_new(&one, &two, STEP_MAX);
        assert_int_equal(tls_session_send(pair->client.session, (struct bytes){"0123456789", 10}, &pair->client.wire, &err),
                         STATUS_OK);
        if (at < pair->client.wire.size)
            pair->client.wire.data[at] ^= 4;
        carry(&pair->client, &pair->server, STEP_MAX);
        assert_true(at >= 32 || pair->server.plain.size == 0);
        pair_free(pair);
    }
}

/* A client of OpenSSL's own, for what ours never does. */
static SSL *foreign_client(SSL_CTX *context, const struct certificate_files *files)
{
    assert_int_equal(SSL_CTX_use_certificate_chain_file(context, files->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM), 1);
    SSL *ssl = SSL_new(context);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    return ssl;
}

static void exchange(SSL *ssl, struct end *server)
{
    char *data = NULL;
    long size = BIO_get_mem_data(SSL_get_wbio(ssl), &data);
    receive(server, data, (size_t)size);
    (void)BIO_reset(SSL_get_wbio(ssl));
    assert_int_equal(BIO_write(SSL_get_rbio(ssl), server->wire.data, (int)server->wire.size), server->wire.size);
    buffer_clear(&server->wire);
}

static void goodbye(void **state)
{
    struct end server;
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = foreign_client(context, &one);
    end_init(&server, &two, false);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    exchange(ssl, &server);
    assert_int_equal(SSL_do_handshake(ssl), 1);
    assert_int_equal(SSL_write(ssl, "bye", 3), 3);
    assert_int_equal(SSL_shutdown(ssl), 0);
    exchange(ssl, &server);
    assert_int_equal(server.status, STATUS_OK);
    assert_int_equal(server.plain.size, 3);
    assert_true(server.has_ended);
    end_deinit(&server);
    SSL_free(ssl);
    SSL_CTX_free(context);
}

/* The message is "<key>: <path>: ..." and holds these words. */
static void refused_files(struct tls_files files, const char *key, const char *path, const char *words)
{
    char start[CERTIFICATE_PATH_SIZE + 64];
    struct tls_context *context = NULL;
    struct error err;
    assert_int_equal(tls_context_new(&files, &context, &err), STATUS_INVALID);
    assert_null(context);
    assert_string_equal(err.field, key);
    (void)snprintf(start, sizeof start, "%s: %s: ", key, path);
    if (strncmp(err.message, start, strlen(start)) != 0 || strstr(err.message, words) == NULL)
        fail_msg("wanted %s...%s: %s", start, words, err.message);
}

static const char cert_file[] = "cluster.raft.tls.cert_file", key_file[] = "cluster.raft.tls.key_file",
                  ca_file[] = "cluster.raft.tls.ca_file";

static void files(void **state)
{
    struct tls_files good = certificate_tls(&one), bad;
    char other[CERTIFICATE_PATH_SIZE];
    (void)state;
    bad = good;
    bad.cert_file = one.key;
    refused_files(bad, cert_file, one.key, "holds no certificate");
    bad = good;
    bad.key_file = one.cert;
    refused_files(bad, key_file, one.cert, "holds no private key");
    bad = good;
    bad.ca_file = one.key;
    refused_files(bad, ca_file, one.key, "holds no certificate");
    refused_files(certificate_tls(&locked), key_file, locked.key, "without a passphrase"); /* nobody is asked for it */
    bad = good;
    bad.key_file = two.key;
    refused_files(bad, key_file, two.key, "is not the key of cert_file");
    certificate_key("ED25519", other);
    bad.key_file = other;
    refused_files(bad, key_file, other, one.cert);
}

static void files_of_the_system(void **state)
{
    static const struct {
        const char *path, *words;
    } rows[] = {
        {"/nowhere.pem", "No such file or directory"},
        {"/tmp", "Is a directory"},
        {"/dev/null", "not a regular file"},
        {"/dev/null/x", "Not a directory"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_files bad = certificate_tls(&one);
        bad.ca_file = rows[i].path;
        refused_files(bad, ca_file, rows[i].path, rows[i].words);
        bad.key_file = rows[i].path;
        refused_files(bad, key_file, rows[i].path, rows[i].words);
        bad.cert_file = rows[i].path;
        refused_files(bad, cert_file, rows[i].path, rows[i].words);
    }
}

static void validity(void **state)
{
    struct tls_files tls = certificate_tls(&one);
    struct tls_context *context = NULL;
    struct error err;
    (void)state;
    assert_int_equal(tls_context_new(&tls, &context, &err), STATUS_OK);
    assert_in_range(tls_context_expires_s(context) - time(NULL), 9 * 86400, 10 * 86400);
    tls_context_free(context);
    tls = certificate_tls(&expired);
    assert_int_equal(tls_context_new(&tls, &context, &err), STATUS_OK);
    assert_true(tls_context_expires_s(context) < time(NULL));
    tls_context_free(context);
    tls_context_free(NULL);
    tls_session_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(whose_certificate),
        cmocka_unit_test(who_is_refused),
        cmocka_unit_test(who_speaks_older_tls_or_none),
        cmocka_unit_test(a_flipped_bit_ends_it),
        cmocka_unit_test(goodbye),
        cmocka_unit_test(files),
        cmocka_unit_test(files_of_the_system),
        cmocka_unit_test(validity),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
