/* cmocka with what it needs before it. */
#ifndef CHRONOS_TESTS_CTL_CHECK_H
#define CHRONOS_TESTS_CTL_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `haystack` holds `needle`; both are shown if not. */
#define assert_contains(haystack, needle)                                   \
    do {                                                                    \
        if (strstr((haystack), (needle)) == NULL)                           \
            fail_msg("\"%s\" does not hold \"%s\"", (haystack), (needle));  \
    } while (0)

#endif
