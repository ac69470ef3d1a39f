/* The --server list. Internal to client. */
#ifndef CHRONOS_CTL_SERVERS_H
#define CHRONOS_CTL_SERVERS_H

#include <stdbool.h>

#include "base/error.h"
#include "ctl/client.h"

enum { SERVER_TEXT_SIZE = 512, SERVER_PORT_DEFAULT = 8080 };

struct server {
    char base[SERVER_TEXT_SIZE];   /* "http://10.0.0.1:8080", no slash at its end */
    char shown[SERVER_TEXT_SIZE];  /* for messages: without user and password */
    char socket[SERVER_TEXT_SIZE]; /* of unix:///path; "" otherwise */
    bool is_loopback;
};

/* INVALID, naming the entry. */
must_use enum status servers_parse(const char *list, struct server *servers, unsigned *ret_count, struct error *err);

#endif
