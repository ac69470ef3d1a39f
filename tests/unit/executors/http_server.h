/* A small HTTP/1.1 server on a loopback port, one thread a connection, that answers by the path of the request:
 *   /status/NNN                 that status, no body
 *   /echo                       200 with the request, head and body, as the body
 *   /retry-after/NNN/VALUE      status NNN with "Retry-After: VALUE" ('_' stands for a blank)
 *   /redirect/NNN/URL           status NNN with "Location: URL" ('|' stands for a slash)
 *   /loop                       302 to itself
 *   /hang                       no answer until the client closes
 *   /drop                       the connection is closed without an answer
 *   /short                      200 with half of the body that it announces
 *   /huge/MIB                   200 with so many MiB of 'x', or less if the client closes
 *   /secret-bounce              302 to a URL with a user and password, back to /echo */
#ifndef TESTS_EXECUTORS_HTTP_SERVER_H
#define TESTS_EXECUTORS_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;

struct http_server *http_server_new(void);
/* As above over TLS, with a fresh certificate for 127.0.0.1 that signs itself; `demand_client` asks for a client
 * certificate, which must be the same one. It is written to `folder`: "cert.pem", "key.pem", and "both.pem". */
struct http_server *http_server_new_tls(const char *folder, bool demand_client);
void http_server_free(struct http_server *server); /* closes every connection and joins every thread */

uint16_t http_server_port(const struct http_server *server);
/* "http://127.0.0.1:PORT", or https:// */
const char *http_server_url(const struct http_server *server);
size_t http_server_connections(struct http_server *server); /* accepted so far */
size_t http_server_requests(struct http_server *server);    /* read so far */
size_t http_server_open(struct http_server *server);        /* connections open now */
bool http_server_was_offered_h2(struct http_server *server); /* by ALPN */
uint64_t http_server_sent(struct http_server *server);      /* bytes of /huge sent */

#endif
