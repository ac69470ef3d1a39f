/* Secrets of stored documents, hidden before anyone reads them. Almost every job has none: the names of secret options
 * are known, and a document that holds none of them is passed on as it is, without being parsed. Immutable: any
 * thread. */
#ifndef CHRONOS_API_MASKS_H
#define CHRONOS_API_MASKS_H

#include "plugin/registry.h"
#include "plugin/schema.h"

struct masks;
must_use enum status masks_new(const struct plugin_registry *registry, struct masks **ret, struct error *err);
void masks_free(struct masks *masks); /* accepts NULL */

/* True: the document must go through masks_apply before it is shown. */
bool masks_needed(const struct masks *masks, struct bytes document);
/* Replaces what is secret in the "config" of a parsed document. Of an executor that is not loaded nobody knows what is
 * secret: every text of its config is. False: out of memory; then nothing may be shown. */
bool masks_apply(const struct masks *masks, cJSON *document);

/* The value of "executor" in a normalised document; empty where there is none. */
struct bytes document_executor(struct bytes document);

#endif
