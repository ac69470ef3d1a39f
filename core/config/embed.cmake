# cmake -DINPUT=<file> -DOUTPUT=<file.c> -DNAME=<symbol> -P embed.cmake
#   Writes C with the bytes of INPUT as `const char NAME[]` and their number as `const size_t NAME_size`.
file(READ ${INPUT} bytes HEX)
string(LENGTH "${bytes}" size)
math(EXPR size "${size} / 2")
# A character literal, so that bytes above 127 are not a narrowing; 24 of them a line.
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
string(REPEAT "......." 24 line)
string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "/* Generated from a file by core/config/embed.cmake. */
#include <stddef.h>

extern const char ${NAME}[];
extern const size_t ${NAME}_size;
const char ${NAME}[] = {
${bytes}
'\\0'};
const size_t ${NAME}_size = ${size};
")
