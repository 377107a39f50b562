# vswap_library(NAME SOURCES ... LIBS ...): a static library of ours, warnings as errors.
# vswap_program(NAME SOURCES ... LIBS ...): an executable in bin/.
# vswap_test(NAME LABEL label SOURCES ... LIBS ...): a GoogleTest executable and one ctest entry. Ended after
# TIMEOUT seconds (300); with UNTIMED after those of ctest's --timeout.

add_library(vswap_options INTERFACE)
target_include_directories(vswap_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
# g++ judges warnings; clang's differ, and it only builds the sanitizers' presets.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(
    vswap_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
                            -Woverloaded-virtual -Werror)
endif()
if(VSWAP_SANITIZE)
  add_compile_options(-fsanitize=${VSWAP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VSWAP_SANITIZE})
endif()
if(VSWAP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# The tests' own code, which sanitizers build for the suite: half as long to compile as -O1 with all
# checks (one file of 400 lines on GoogleTest: 15.6 s with both sanitizers, 6.2 s so).
set(VSWAP_QUICK_OPTIONS -O0 -fno-sanitize=undefined)
# What sanitizers are told; each suppression says why.
set(VSWAP_SANITIZER_ENVIRONMENT
    TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/sanitize/tsan.supp
    UBSAN_OPTIONS=print_stacktrace=1)

# Presets asan and tsan, which the suite builds from nothing: what nearly every file includes is compiled
# once for libraries and once for tests.
set(VSWAP_PRECOMPILE OFF)
if(VSWAP_CORES_ONLY AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND NOT VSWAP_FUZZ)
  set(VSWAP_PRECOMPILE ON)
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")  # for ccache
endif()
function(vswap_precompile NAME)
  if(VSWAP_PRECOMPILE AND NOT TARGET vswap_library_headers)
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/nothing.cc CONTENT "int main() { return 0; }\n")
    set(HEADERS <algorithm> <deque> <functional> <map> <memory> <optional> <string> <vector>
                <absl/status/statusor.h> <google/protobuf/message.h> <rocksdb/db.h>)
    add_library(vswap_library_headers STATIC ${CMAKE_BINARY_DIR}/nothing.cc)
    target_link_libraries(vswap_library_headers PRIVATE absl::statusor vswap_options)
    target_precompile_headers(vswap_library_headers PRIVATE ${HEADERS})
    add_executable(vswap_test_headers ${CMAKE_BINARY_DIR}/nothing.cc)
    target_link_libraries(vswap_test_headers PRIVATE absl::statusor vswap_options GTest::gmock GTest::gtest)
    target_compile_options(vswap_test_headers PRIVATE ${VSWAP_QUICK_OPTIONS})
    target_precompile_headers(vswap_test_headers PRIVATE ${HEADERS} <future> <thread> <gmock/gmock.h>)
  endif()
  if(VSWAP_PRECOMPILE)
    get_target_property(TYPE ${NAME} TYPE)
    if(TYPE STREQUAL "EXECUTABLE")
      target_precompile_headers(${NAME} REUSE_FROM vswap_test_headers)
    else()
      target_precompile_headers(${NAME} REUSE_FROM vswap_library_headers)
    endif()
  endif()
endfunction()

function(vswap_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${NAME} STATIC ${ARG_SOURCES})
  vswap_precompile(${NAME})
  target_link_libraries(${NAME} PUBLIC ${ARG_LIBS} PRIVATE vswap_options)
  target_include_directories(${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

function(vswap_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS} vswap_options)
endfunction()

function(vswap_test NAME)
  cmake_parse_arguments(ARG "UNTIMED" "LABEL;TIMEOUT" "SOURCES;LIBS;ARGS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS} vswap_options GTest::gmock GTest::gtest_main)
  if(VSWAP_CORES_ONLY)
    target_compile_options(${NAME} PRIVATE ${VSWAP_QUICK_OPTIONS})
    vswap_precompile(${NAME})
    # After kill -9 a sanitizer has nothing to say.
    if(ARG_LABEL STREQUAL "crash")
      set_target_properties(${NAME} PROPERTIES EXCLUDE_FROM_ALL TRUE)
      return()
    endif()
  endif()
  add_test(NAME ${NAME} COMMAND ${NAME} ${ARG_ARGS})
  set_tests_properties(${NAME} PROPERTIES LABELS ${ARG_LABEL})
  # The property would win over --timeout.
  if(NOT ARG_UNTIMED)
    set_tests_properties(${NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  endif()
  if(VSWAP_SANITIZE)
    set_tests_properties(${NAME} PROPERTIES ENVIRONMENT "${VSWAP_SANITIZER_ENVIRONMENT}")
  endif()
endfunction()
