/* "host:port" as people write it: 10.0.0.1:7000, [::1]:7000, chronos-1.example.org:7000. Nothing is looked up here. */
#ifndef CHRONOS_BASE_ADDRESS_H
#define CHRONOS_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { ADDRESS_HOST_SIZE = 254 }; /* the longest host name and a NUL */

enum address_kind {
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_NAME,
    ADDRESS_NO_HOST, /* ":8080" */
    ADDRESS_NONE,    /* neither an IP address nor a host name: 10.0.0.256, or anything but IPv6 in brackets */
};

struct address {
    enum address_kind kind;
    uint16_t port;
    char host[ADDRESS_HOST_SIZE]; /* without brackets */
};

/* NULL, or what is wrong with the form, as the end of a sentence: `"..." is not an address: the port is missing; write host:port`.
 * Which kinds of host will do is the caller's to say. */
const char *address_split(const char *text, struct address *ret);

/* Of an IP address; of no other kind. */
struct sockaddr_storage;
void address_to_sockaddr(const struct address *address, struct sockaddr_storage *ret);
uint16_t sockaddr_port(const struct sockaddr_storage *name); /* of IPv4 or IPv6 */
/* Whether somebody can be reached there: a host that is one, and a port. */
bool address_is_callable(const struct address *address);

#endif
