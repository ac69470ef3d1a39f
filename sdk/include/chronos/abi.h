/* Chronos plugin ABI, version 1: versions, status codes, the value types that everything else is made of.
 *
 * PROVISIONAL: until ABI 1.0 is frozen, a plugin loads only into a host that was built from the same headers
 * (CHRONOS_FEATURE_PROVISIONAL, see plugin.h).
 *
 * Rules that hold for every header here:
 * - Clean C99 and C++11. Fixed-width integers only. Enumerators name the values; fields are plain int32_t or uint32_t.
 * - Every struct begins with struct_size, except the frozen value types (chronos_bytes, chronos_kv) and handles. Later
 *   members are reached only through CHRONOS_HAS. Zero always means the old behaviour.
 * - No call moves ownership. Arguments are borrowed until the call returns; storage results until the next write or the
 *   end of the transaction; configuration values and the host table until destroy; descriptors until the process ends.
 * - Text is UTF-8. `const char *` is NUL-terminated.
 * - Thread tags: [setup] [executor] [writer] [readers] [pool] [loop] [any], explained in plugin.h. */
#ifndef CHRONOS_ABI_H
#define CHRONOS_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHRONOS_ABI_MAJOR 1
#define CHRONOS_ABI_MINOR 0
/* Changes with every edit of these headers while the ABI is provisional. */
#define CHRONOS_ABI_REVISION 1u

#define CHRONOS_PLUGIN_MAGIC 0x43485250u /* "CHRP" */

/* True when the other side's struct is long enough to hold `member`. */
#define CHRONOS_HAS(pointer, type, member) \
    ((pointer)->struct_size >= offsetof(type, member) + sizeof(((const type *)0)->member))

/* Exported from the plugin's one entry function. */
#if defined(__GNUC__)
#define CHRONOS_EXPORT __attribute__((visibility("default")))
#else
#define CHRONOS_EXPORT
#endif

/* Status codes. 0 is success; numbers are never reused; an unknown negative one counts as INTERNAL. */
enum chronos_status {
    CHRONOS_OK = 0,
    CHRONOS_INVALID = -1,      /* an argument, or data, that breaks a rule */
    CHRONOS_NOMEM = -2,
    CHRONOS_NOTFOUND = -3,     /* a normal answer, not an error: chronos_error is untouched */
    CHRONOS_EXISTS = -4,
    CHRONOS_BUSY = -5,         /* a limit is in use; try later */
    CHRONOS_IO = -6,
    CHRONOS_NOSPACE = -7,      /* nothing became visible, the instance stays usable */
    CHRONOS_CORRUPT = -8,      /* final; never repaired silently */
    CHRONOS_UNSUPPORTED = -9,
    CHRONOS_TOOBIG = -10,
    CHRONOS_CANCELLED = -11,
    CHRONOS_TIMEOUT = -12,
    CHRONOS_DENIED = -13,
    CHRONOS_SHUTDOWN = -14,
    CHRONOS_MISUSE = -15,      /* the caller broke the contract */
    CHRONOS_INTERNAL = -16
};

/* A borrowed byte range. Frozen for the whole major version. `data` may be NULL only where size is 0. */
struct chronos_bytes {
    const void *data;
    uint64_t size;
};

struct chronos_kv {
    struct chronos_bytes key;
    struct chronos_bytes value;
};

enum chronos_error_flags {
    CHRONOS_ERROR_RETRYABLE = 1 /* the same call may succeed later */
};

/* Why a call failed. The caller's memory, never NULL, struct_size set by the caller; the callee writes the rest, only on
 * failure; `msg` is always NUL-terminated: one sentence that says what, where and how to mend it. */
struct chronos_error {
    uint32_t struct_size;
    int32_t code;      /* enum chronos_status */
    int32_t sys_errno; /* 0 where no system call failed */
    uint32_t flags;    /* enum chronos_error_flags */
    char msg[240];
};

#ifdef __cplusplus
}
#endif

#endif
