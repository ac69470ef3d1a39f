#include "base/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LABEL_MAX = 63 };

/* 1 to 5 digits without a leading zero, at most 65535; -1 otherwise. */
static int parse_port(const char *text)
{
    size_t size = strspn(text, "0123456789");
    if (size == 0 || size > 5 || text[size] || (text[0] == '0' && size > 1))
        return -1;
    int port = atoi(text);
    return port <= 65535 ? port : -1;
}

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of letters, digits, '-' and '_', as resolvers take them (RFC 1123 2.1; underscores are common in container networks).
 * A last label of digits alone is a mistyped IPv4 address. */
static bool is_name(const char *host)
{
    size_t label = 0;
    bool digits = true;
    for (const char *at = host; *at != '\0'; at++) {
        if (*at == '.' && at[1] == '\0')
            break; /* absolute */
        if (*at == '.' ? label == 0 : !is_label_char(*at) || label == LABEL_MAX)
            return false;
        digits = *at == '.' || (digits && *at >= '0' && *at <= '9');
        label = *at == '.' ? 0 : label + 1;
    }
    return label > 0 && !digits;
}

static enum address_kind kind_of(bool is_bracketed, const char *host)
{
    unsigned char binary[16];
    if (is_bracketed)
        return inet_pton(AF_INET6, host, binary) == 1 ? ADDRESS_IPV6 : ADDRESS_NONE;
    if (host[0] == '\0')
        return ADDRESS_NO_HOST;
    if (inet_pton(AF_INET, host, binary) == 1)
        return ADDRESS_IPV4;
    return is_name(host) ? ADDRESS_NAME : ADDRESS_NONE;
}

const char *address_split(const char *text, struct address *ret)
{
    struct address address;
    bool is_bracketed = text[0] == '[';
    const char *begin = is_bracketed ? text + 1 : text;
    const char *end = is_bracketed ? strchr(text, ']') : strrchr(text, ':');
    if (end == NULL)
        return is_bracketed ? "the \"]\" is missing" : "the port is missing; write host:port";
    size_t size = (size_t)(end - begin);
    if (size >= sizeof address.host)
        return "the host is too long";
    memcpy(address.host, begin, size);
    address.host[size] = '\0';
    if (is_bracketed && *++end != ':')
        return "the port is missing; write [host]:port";
    if (!is_bracketed && strchr(address.host, ':') != NULL)
        return "an IPv6 address stands in brackets, as in [::1]:8080";
    int port = parse_port(end + 1);
    if (port < 0)
        return "the port must be a number up to 65535";
    address.port = (uint16_t)port;
    address.kind = kind_of(is_bracketed, address.host);
    *ret = address;
    return NULL;
}

bool address_is_callable(const struct address *address)
{
    return address->kind != ADDRESS_NO_HOST && address->kind != ADDRESS_NONE && address->port != 0;
}

void address_to_sockaddr(const struct address *address, struct sockaddr_storage *ret)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret;
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret;
    assert(address->kind == ADDRESS_IPV4 || address->kind == ADDRESS_IPV6);
    memset(ret, 0, sizeof *ret);
    bool is_v6 = address->kind == ADDRESS_IPV6;
    ret->ss_family = is_v6 ? AF_INET6 : AF_INET;
    *(is_v6 ? &v6->sin6_port : &v4->sin_port) = htons(address->port);
    int taken = inet_pton(ret->ss_family, address->host, is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr);
    assert(taken == 1); /* as when its kind was found */
}

uint16_t sockaddr_port(const struct sockaddr_storage *name)
{
    return ntohs(name->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)name)->sin6_port
                                             : ((const struct sockaddr_in *)(const void *)name)->sin_port);
}
