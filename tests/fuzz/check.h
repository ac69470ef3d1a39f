/* What every fuzz target has: the entry that libFuzzer calls, and a check that says what did not hold. */
#ifndef CHRONOS_TESTS_FUZZ_CHECK_H
#define CHRONOS_TESTS_FUZZ_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                         \
    do {                                                         \
        if (!(condition)) {                                      \
            (void)fprintf(stderr, "not true: %s\n", #condition); \
            abort();                                             \
        }                                                        \
    } while (0)

#endif
