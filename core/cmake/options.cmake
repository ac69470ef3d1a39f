# How everything is compiled: C11, warnings as errors, hidden symbols, hardened.
option(CHRONOS_TESTS "Build the tests" ON)
option(CHRONOS_FUZZ "Build the libFuzzer targets (clang)" OFF)
set(CHRONOS_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

include(CheckPIESupported)
check_pie_supported()

add_library(chronos_flags INTERFACE)
target_compile_definitions(chronos_flags INTERFACE _GNU_SOURCE CHRONOS_VERSION="${PROJECT_VERSION}")
target_compile_options(chronos_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla
  -Wimplicit-fallthrough -Wundef -Wwrite-strings -fno-common -fstack-protector-strong)
target_link_options(chronos_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(CHRONOS_SANITIZE)
  target_compile_options(chronos_flags INTERFACE -fsanitize=${CHRONOS_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(chronos_flags INTERFACE -fsanitize=${CHRONOS_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(chronos_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
# What a fuzz target calls tells the fuzzer which ways it took; without that, it would search blindly.
if(CHRONOS_FUZZ)
  target_compile_options(chronos_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(chronos_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
# Assertions stay on in release.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")
