# Compiler flags for every target: warnings, hardening (design: security defaults), sanitizers.
include(CheckCCompilerFlag)

add_library(outrigger_flags INTERFACE)
target_include_directories(outrigger_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(outrigger_flags INTERFACE _GNU_SOURCE OUTRIGGER_VERSION="${PROJECT_VERSION}")
target_compile_options(outrigger_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith
    -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wconversion -Wno-sign-conversion
    -fno-strict-aliasing -fno-common
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=) # the same sources make the same programs, wherever they are
if(OUTRIGGER_WERROR)
    target_compile_options(outrigger_flags INTERFACE -Werror)
endif()

set(hardening_compile -fstack-protector-strong -fstack-clash-protection -fPIE)
check_c_compiler_flag(-fcf-protection OUTRIGGER_HAS_CF_PROTECTION)
if(OUTRIGGER_HAS_CF_PROTECTION)
    list(APPEND hardening_compile -fcf-protection)
endif()
set(hardening_link -pie -Wl,-z,relro,-z,now,-z,noexecstack)

if(OUTRIGGER_SANITIZE)
    target_compile_options(outrigger_flags INTERFACE
        -fsanitize=${OUTRIGGER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(outrigger_flags INTERFACE -fsanitize=${OUTRIGGER_SANITIZE})
else()
    target_compile_options(outrigger_flags INTERFACE ${hardening_compile})
    target_link_options(outrigger_flags INTERFACE ${hardening_link})
    if(CMAKE_BUILD_TYPE STREQUAL Release)
        target_compile_options(outrigger_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    endif()
endif()
if(OUTRIGGER_FUZZ)
    target_compile_options(outrigger_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
