/* What job import does, and how it says so. */
#ifndef CHRONOS_CTL_JOB_IMPORT_H
#define CHRONOS_CTL_JOB_IMPORT_H

#include "ctl/jobs.h"

enum on_conflict { ON_CONFLICT_FAIL, ON_CONFLICT_SKIP, ON_CONFLICT_REPLACE };

enum import_fate { FATE_NOT_DONE, FATE_CREATE, FATE_REPLACE, FATE_SKIP, FATE_UNCHANGED, FATE_FAIL, FATE_COUNT };

struct import_item {
    enum import_fate fate;
    bool was_sent; /* a request to create it */
    bool is_there; /* and that was carried out, though it was not said */
    char etag[128]; /* of the one that is replaced */
};

struct import {
    struct invocation *invocation;
    struct manifest manifest;
    struct import_item *items; /* one for each job of the manifest */
    enum on_conflict on_conflict;
    bool would;                /* nothing is changed: a dry run, or some job was refused */
    bool has_progress, progress_shown;
    int64_t progress_ms;
};

/* "created", or "would be created". */
const char *import_fate_word(enum import_fate fate, bool would);

/* Before anything is said on standard error. */
void import_clear_progress(struct import *import);

/* Sets the fate of a job by what is stored now, on whichever node; asks the server whether it would take it. An exit code that
 * is not OK ends the import. */
int import_judge(struct import *import, size_t at);

/* A job that is done, at once, so that an interruption does not hide it. */
void import_show_item(struct import *import, size_t at);
/* What is left to say at the end: all of it in JSON and YAML, the sum otherwise. An exit code. */
int import_show_end(struct import *import);

#endif
