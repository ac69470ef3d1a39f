/* What the tests of this room share: a private folder with copies of the fixture plugins, a clock of their own,
 * JSON. */
#ifndef TEST_PLUGIN_FIXTURE_H
#define TEST_PLUGIN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "plugin/registry.h"
#include "plugin/schema.h"

/* A fresh folder (mode 0700) below /tmp, whatever the umask and the owner of the build folder are. */
char *folder_new(void);
void folder_free(char *folder); /* with everything in it */
char *folder_path(const char *folder, const char *name); /* malloc */
/* Copies fixture `name` ("bad_magic") to `folder`/`as`, mode 0755. */
void fixture_copy(const char *name, const char *folder, const char *as);

struct fake_clock {
    int64_t wall_ms;
    uint64_t monotonic_ns;
};
struct clock fake_clock_of(struct fake_clock *fake);

cJSON *json_of(const char *text); /* fails the test where it is not JSON */

/* A registry with the one fixture loaded, from a folder of its own. */
struct loaded {
    char *folder;
    struct plugin_registry *registry;
};
struct loaded loaded_new(const char *fixture);
void loaded_free(struct loaded *loaded);

/* The log of the process, caught in a file. */
struct caught_log {
    int fd;
    char text[64 * 1024];
};
void log_catch(struct caught_log *caught);
const char *log_caught(struct caught_log *caught); /* what was written so far */
void log_release(struct caught_log *caught);

#endif
