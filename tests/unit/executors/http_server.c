#include "http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 2048, REQUEST_MAX = 1 << 20 };

struct connection {
    struct http_server *server;
    pthread_t thread;
    int fd;
    SSL *tls; /* NULL: plain */
};

struct http_server {
    int fd;
    uint16_t port;
    char url[64];
    pthread_t thread;
    pthread_mutex_t lock;
    struct connection connections[CONNECTIONS_MAX];
    size_t accepted, requests, closed;
    uint64_t huge_sent;
    bool stopping, offered_h2;
    SSL_CTX *tls; /* NULL: plain */
};

/* One request in memory. */
struct request {
    char *text;
    size_t size, head_size;
    char path[1024];
};

static bool send_all(struct connection *c, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t sent = c->tls != NULL ? SSL_write(c->tls, at, (int)size) : send(c->fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static ssize_t receive(struct connection *c, void *data, size_t size)
{
    return c->tls != NULL ? SSL_read(c->tls, data, (int)size) : recv(c->fd, data, size, 0);
}

static bool answer(struct connection *c, int status, const char *headers, const void *body, size_t size)
{
    char head[2048];
    int head_size = snprintf(head, sizeof(head), "HTTP/1.1 %d Answer\r\n%sContent-Length: %zu\r\n\r\n", status, headers,
                             size);

    return send_all(c, head, (size_t)head_size) && send_all(c, body, size);
}

/* ---- Answers by path ---- */

static void replace(char *text, char from, char to)
{
    for (; *text != '\0'; text++) {
        *text = *text == from ? to : *text;
    }
}

static bool answer_with_header(struct connection *c, const char *rest, const char *name, char from, char to)
{
    char value[1024], header[1100];
    int status = 0;

    if (sscanf(rest, "%d/%1000s", &status, value) != 2) {
        return false;
    }
    replace(value, from, to);
    (void)snprintf(header, sizeof(header), "%s: %s\r\n", name, value);
    return answer(c, status, header, "moved", 5);
}

static bool answer_huge(struct connection *c, long mib)
{
    static char block[64 * 1024];
    char head[128];

    memset(block, 'x', sizeof(block));
    int size = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", mib << 20);
    bool ok = send_all(c, head, (size_t)size);
    for (long i = 0; ok && i < mib * 16; i++) {
        ok = send_all(c, block, sizeof(block));
        (void)pthread_mutex_lock(&c->server->lock);
        c->server->huge_sent += ok ? sizeof(block) : 0;
        (void)pthread_mutex_unlock(&c->server->lock);
    }
    return ok;
}

static bool answer_loop(struct connection *c)
{
    char header[128];

    (void)snprintf(header, sizeof(header), "Location: %s/loop\r\n", c->server->url);
    return answer(c, 302, header, "", 0);
}

static bool answer_bounce(struct connection *c)
{
    char header[128];

    (void)snprintf(header, sizeof(header), "Location: http://bouncer:hidden@127.0.0.1:%u/echo\r\n",
                   c->server->port);
    return answer(c, 302, header, "", 0);
}

static bool hang(struct connection *c)
{
    char byte;

    while (receive(c, &byte, 1) > 0) {
    }
    return false;
}

static bool answer_short(struct connection *c)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!";

    (void)send_all(c, text, sizeof(text) - 1);
    return false;
}

static const char *after(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0 ? path + strlen(prefix) : NULL;
}

/* false: close the connection. */
static bool answer_request(struct connection *c, const struct request *r)
{
    const char *rest;

    if ((rest = after(r->path, "/status/")) != NULL) {
        return answer(c, atoi(rest), "", "", 0);
    }
    if ((rest = after(r->path, "/retry-after/")) != NULL) {
        return answer_with_header(c, rest, "Retry-After", '_', ' ');
    }
    if ((rest = after(r->path, "/redirect/")) != NULL) {
        return answer_with_header(c, rest, "Location", '|', '/');
    }
    if ((rest = after(r->path, "/huge/")) != NULL) {
        return answer_huge(c, atol(rest));
    }
    if (strcmp(r->path, "/loop") == 0) {
        return answer_loop(c);
    }
    if (strcmp(r->path, "/secret-bounce") == 0) {
        return answer_bounce(c);
    }
    if (strcmp(r->path, "/hang") == 0) {
        return hang(c);
    }
    if (strcmp(r->path, "/drop") == 0) {
        return false;
    }
    if (strcmp(r->path, "/short") == 0) {
        return answer_short(c);
    }
    if (strncmp(r->text, "HEAD ", 5) == 0) {
        return answer(c, 200, "", "", 0);
    }
    return answer(c, 200, "Content-Type: text/plain\r\n", r->text, r->size); /* /echo, and a proxy's absolute form */
}

/* ---- Reading requests ---- */

static size_t content_length(const struct request *r)
{
    const char *at = strcasestr(r->text, "\r\nContent-Length:");

    return at == NULL || at > r->text + r->head_size ? 0 : (size_t)strtoul(at + 17, NULL, 10);
}

/* One request into r->text; false at the end of the connection. No pipelining: a client sends one at a time. */
static bool read_request(struct connection *c, struct request *r)
{
    r->size = r->head_size = 0;
    for (;;) {
        ssize_t got = receive(c, r->text + r->size, REQUEST_MAX - 1 - r->size);
        if (got <= 0) {
            return false;
        }
        r->size += (size_t)got;
        r->text[r->size] = '\0';
        const char *end = r->head_size == 0 ? strstr(r->text, "\r\n\r\n") : NULL;
        r->head_size = end != NULL ? (size_t)(end - r->text) + 4 : r->head_size;
        if (r->head_size > 0 && r->size >= r->head_size + content_length(r)) {
            return sscanf(r->text, "%*s %1000s", r->path) == 1;
        }
    }
}

/* SSL_write takes no flags: without this a client that closes would end the test. */
static void block_sigpipe(void)
{
    sigset_t pipe_signal;

    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
}

static bool shake_hands(struct connection *c)
{
    if (c->server->tls == NULL) {
        return true;
    }
    c->tls = SSL_new(c->server->tls);
    return c->tls != NULL && SSL_set_fd(c->tls, c->fd) == 1 && SSL_accept(c->tls) == 1;
}

static void *connection_main(void *arg)
{
    struct connection *c = arg;
    struct request request = {.text = malloc(REQUEST_MAX)};

    block_sigpipe();
    bool open = request.text != NULL && shake_hands(c);

    while (open && read_request(c, &request)) {
        (void)pthread_mutex_lock(&c->server->lock);
        c->server->requests++;
        (void)pthread_mutex_unlock(&c->server->lock);
        open = answer_request(c, &request);
    }
    free(request.text);
    SSL_free(c->tls);
    (void)pthread_mutex_lock(&c->server->lock);
    (void)close(c->fd);
    c->fd = -1;
    c->server->closed++;
    (void)pthread_mutex_unlock(&c->server->lock);
    return NULL;
}

/* ---- Life ---- */

static void *accept_main(void *arg)
{
    struct http_server *server = arg;

    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        (void)pthread_mutex_lock(&server->lock);
        if (server->stopping || fd < 0 || server->accepted == CONNECTIONS_MAX) {
            (void)pthread_mutex_unlock(&server->lock);
            if (fd >= 0) {
                (void)close(fd);
            }
            return NULL;
        }
        struct connection *c = &server->connections[server->accepted++];
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* head and body are two sends */
        *c = (struct connection){.server = server, .fd = fd};
        (void)pthread_create(&c->thread, NULL, connection_main, c);
        (void)pthread_mutex_unlock(&server->lock);
    }
}

static struct http_server *server_on(SSL_CTX *tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct http_server *server = calloc(1, sizeof(*server));

    assert_non_null(server);
    server->tls = tls;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->fd, 512), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
    server->port = ntohs(address.sin_port);
    (void)snprintf(server->url, sizeof(server->url), "%s://127.0.0.1:%u", tls == NULL ? "http" : "https", server->port);
    (void)pthread_mutex_init(&server->lock, NULL);
    return server;
}

static void server_start(struct http_server *server)
{
    assert_int_equal(pthread_create(&server->thread, NULL, accept_main, server), 0);
}

struct http_server *http_server_new(void)
{
    struct http_server *server = server_on(NULL);

    server_start(server);
    return server;
}

/* ---- TLS ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();

    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    X509_NAME *name = X509_get_subject_name(cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1");
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static void write_pem(const char *folder, const char *file, const X509 *cert, const EVP_PKEY *key)
{
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    if (cert != NULL) {
        assert_int_equal(PEM_write_X509(out, cert), 1);
    }
    if (key != NULL) {
        assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    }
    assert_int_equal(fclose(out), 0);
}

/* Notes what the client offers, and chooses nothing: HTTP/1.1. */
static int on_alpn(SSL *tls, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
                   unsigned in_size, void *arg)
{
    struct http_server *server = arg;

    (void)tls;
    (void)out;
    (void)out_size;
    (void)pthread_mutex_lock(&server->lock);
    server->offered_h2 = server->offered_h2 || memmem(in, in_size, "\x02h2", 3) != NULL;
    (void)pthread_mutex_unlock(&server->lock);
    return SSL_TLSEXT_ERR_NOACK;
}

struct http_server *http_server_new_tls(const char *folder, bool demand_client)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_certificate(key);

    assert_non_null(tls);
    assert_int_equal(SSL_CTX_use_certificate(tls, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, key), 1);
    if (demand_client) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), cert), 1);
    }
    write_pem(folder, "cert.pem", cert, NULL);
    write_pem(folder, "key.pem", NULL, key);
    write_pem(folder, "both.pem", cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
    struct http_server *server = server_on(tls);
    SSL_CTX_set_alpn_select_cb(tls, on_alpn, server);
    server_start(server);
    return server;
}

bool http_server_was_offered_h2(struct http_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    bool offered = server->offered_h2;
    (void)pthread_mutex_unlock(&server->lock);
    return offered;
}

void http_server_free(struct http_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->stopping = true;
    (void)shutdown(server->fd, SHUT_RDWR);
    for (size_t i = 0; i < server->accepted; i++) {
        if (server->connections[i].fd >= 0) {
            (void)shutdown(server->connections[i].fd, SHUT_RDWR);
        }
    }
    size_t count = server->accepted;
    (void)pthread_mutex_unlock(&server->lock);
    (void)pthread_join(server->thread, NULL);
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(server->connections[i].thread, NULL);
    }
    (void)close(server->fd);
    (void)pthread_mutex_destroy(&server->lock);
    SSL_CTX_free(server->tls);
    free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

const char *http_server_url(const struct http_server *server)
{
    return server->url;
}

static uint64_t read_counter(struct http_server *server, const uint64_t *counter)
{
    (void)pthread_mutex_lock(&server->lock);
    uint64_t value = *counter;
    (void)pthread_mutex_unlock(&server->lock);
    return value;
}

size_t http_server_connections(struct http_server *server)
{
    return (size_t)read_counter(server, &server->accepted);
}

size_t http_server_requests(struct http_server *server)
{
    return (size_t)read_counter(server, &server->requests);
}

size_t http_server_open(struct http_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    size_t open = server->accepted - server->closed;
    (void)pthread_mutex_unlock(&server->lock);
    return open;
}

uint64_t http_server_sent(struct http_server *server)
{
    return read_counter(server, &server->huge_sent);
}
