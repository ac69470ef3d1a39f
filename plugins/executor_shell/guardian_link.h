/* The plugin's end of the guardian: finding, starting, talking to and burying it. One thread at a time. */
#ifndef EXECUTOR_SHELL_GUARDIAN_LINK_H
#define EXECUTOR_SHELL_GUARDIAN_LINK_H

#include <stdbool.h>
#include <sys/types.h>

#include <chronos/abi.h>

#include "guardian_protocol.h"

#define GUARDIAN_FILE "chronos-shell-guardian"

struct guardian_link {
    int program; /* the executable, opened once: an upgrade on disk does not mix versions */
    int socket;  /* -1: not running */
    pid_t pid;
};

/* Opens the program: `path`, or NULL for the file beside this plugin. IO, NOTFOUND or DENIED with a sentence. */
int32_t guardian_link_init(struct guardian_link *link, const char *path, struct chronos_error *err);
void guardian_link_deinit(struct guardian_link *link); /* after guardian_stop */

int32_t guardian_start(struct guardian_link *link, struct chronos_error *err);
/* Closes the socket, which makes the guardian kill what is left and end, and waits for it. */
void guardian_stop(struct guardian_link *link);

/* 0, EAGAIN (the socket is full: later), or an errno that means that the guardian is gone. */
int guardian_send(struct guardian_link *link, const struct guardian_request *request, const int *fds, size_t fd_count);
/* 1: one report; 0: none now; -1: the guardian is gone. */
int guardian_receive(struct guardian_link *link, struct guardian_report *report);

#endif
