/* cmocka with what it wants before it. */
#ifndef CHRONOS_TESTS_UNIT_RAFT_CHECK_H
#define CHRONOS_TESTS_UNIT_RAFT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

#endif
