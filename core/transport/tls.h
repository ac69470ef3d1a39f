/* Mutual TLS 1.3 over bytes that somebody else moves: OpenSSL between two memory BIOs. Loop thread.
 *
 * Both sides must show a certificate that the CA of `ca_file` has signed; whose it is, is asked with tls_session_names. */
#ifndef CHRONOS_TRANSPORT_TLS_H
#define CHRONOS_TRANSPORT_TLS_H

#include "base/buffer.h"
#include "base/error.h"

struct tls_files {
    const char *cert_file, *key_file, *ca_file; /* PEM */
};

/* Keys and certificates; those of a new context are for new sessions. Sessions outlive their context. */
struct tls_context;
/* Reads the files: blocks. INVALID says which file is not what it should be. */
must_use enum status tls_context_new(const struct tls_files *files, struct tls_context **ret, struct error *err);
void tls_context_free(struct tls_context *context); /* accepts NULL */
/* When this node's own certificate expires, Unix time; 0: it says so in a way that nobody can read. */
int64_t tls_context_expires_s(const struct tls_context *context);

struct tls_session;
must_use enum status tls_session_new(struct tls_context *context, bool is_client, struct tls_session **ret, struct error *err);
void tls_session_free(struct tls_session *session); /* accepts NULL */

/* What came from the network, or nothing (a client begins so). Appends what it said to `plain`, and to `wire` what has to be sent
 * whatever the outcome: alerts, too. *ret_ended: the peer has said goodbye. At most 64 KiB at once. */
must_use enum status tls_session_receive(struct tls_session *session, struct bytes received, struct buffer *plain,
                                         struct buffer *wire, bool *ret_ended, struct error *err);
bool tls_session_is_ready(const struct tls_session *session); /* the handshake is done */
/* Only when it is ready. */
must_use enum status tls_session_send(struct tls_session *session, struct bytes plain, struct buffer *wire, struct error *err);
/* Whether the peer's certificate was made for this DNS name or IP address (RFC 6125, no partial wildcards). */
bool tls_session_names(const struct tls_session *session, const char *host);

#endif
